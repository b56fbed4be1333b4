// A call with one other member: perfect negotiation, tracks, a chat, files, and a timeline.
//
// Events: "note" (a new entry of the timeline), "connection" ({state}), "media" (tracks came, went,
// fell silent), "chat" ({text}), "chatopen", "chatclose", "progress" ({key, name, done, total}),
// "transfer" ({key, transfer, sent}), "transferfailed" ({key, name}).

import { PROTOCOL, receiveFile, sendFile } from "./transfer.js";

const STATES = {
  signalingstatechange: ["signaling", "signalingState"],
  icegatheringstatechange: ["gathering", "iceGatheringState"],
  iceconnectionstatechange: ["ice", "iceConnectionState"],
  connectionstatechange: ["connection", "connectionState"],
};

const DTLS_VERSIONS = { FEFF: "1.0", FEFD: "1.2", FEFC: "1.3" };
const MAX_INCOMING_FILES = 4;
const MAX_NOTES = 500;

export class Call extends EventTarget {
  timeline = [];
  candidatesSent = 0;
  candidatesReceived = 0;
  remote = new MediaStream();
  #signal;
  #polite;
  #local;
  #senders = {};
  #makingOffer = false;
  #ignoreOffer = false;
  #chat = null;
  #incomingFiles = 0;
  #start = performance.now();

  constructor(signal, polite, iceServers, local) {
    super();
    this.#signal = signal;
    this.#polite = polite;
    this.#local = local;
    this.pc = new RTCPeerConnection({ iceServers });
    this.pc.onnegotiationneeded = () => this.#offer();
    this.pc.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) this.candidatesSent++;
      if (candidate === null || candidate.candidate) this.#signal({ type: "candidate", candidate });
    };
    this.pc.ontrack = ({ track }) => this.#arrived(track);
    this.pc.ondatachannel = ({ channel }) => this.#take(channel);
    for (const [event, [what, attribute]] of Object.entries(STATES)) {
      this.pc.addEventListener(event, () => this.#note(what, this.pc[attribute]));
    }
    this.pc.addEventListener("connectionstatechange", () =>
      this.#tell("connection", { state: this.pc.connectionState }),
    );
  }

  /** Begin: a channel and tracks make an offer necessary, and the rest follows. */
  begin() {
    this.#addTracks();
    for (const kind of ["audio", "video"]) {
      if (!this.#senders[kind]) this.pc.addTransceiver(kind, { direction: "recvonly" });
    }
    this.#take(this.pc.createDataChannel("chat"));
  }

  /** Find the network again. */
  restart() {
    this.pc.restartIce();
  }

  /** Send this track from now on, or nothing. */
  async setTrack(kind, track) {
    if (this.#senders[kind]) await this.#senders[kind].replaceTrack(track);
    else if (track && this.pc.signalingState !== "closed") this.#addTracks();
  }

  // negotiation

  async #offer() {
    try {
      this.#makingOffer = true;
      await this.pc.setLocalDescription();
      this.#describe();
    } catch (error) {
      // the call may have ended meanwhile
      if (this.pc.signalingState !== "closed") throw error;
    } finally {
      this.#makingOffer = false;
    }
  }

  #describe() {
    const description = this.pc.localDescription;
    this.#note("description", `${description.type} sent`);
    this.#signal({ type: "description", description });
  }

  /** Take what the other member signalled; wait for one before the next. */
  async receive({ type, description, candidate }) {
    if (type === "description") {
      const collision = description.type === "offer" && (this.#makingOffer || this.pc.signalingState !== "stable");
      this.#ignoreOffer = collision && !this.#polite;
      if (this.#ignoreOffer) return;
      this.#note("description", `${description.type} received`);
      await this.pc.setRemoteDescription(description);
      if (description.type === "offer") {
        // here, and not before: the offer's own sections carry them, and no second offer is needed
        this.#addTracks();
        await this.pc.setLocalDescription();
        this.#describe();
      }
    } else if (type === "candidate") {
      if (candidate) this.candidatesReceived++;
      try {
        await this.pc.addIceCandidate(candidate ?? undefined);
      } catch (error) {
        if (!this.#ignoreOffer) throw error;
      }
    }
  }

  // tracks

  #addTracks() {
    for (const track of this.#local.getTracks()) {
      this.#senders[track.kind] ??= this.pc.addTrack(track, this.#local);
    }
  }

  #arrived(track) {
    this.remote.addTrack(track);
    for (const event of ["mute", "unmute"]) track.addEventListener(event, () => this.#tell("media"));
    track.addEventListener("ended", () => {
      this.remote.removeTrack(track);
      this.#tell("media");
    });
    this.#tell("media");
  }

  // channels

  #take(channel) {
    channel.addEventListener("open", () => this.#note("channel", `${channel.label} open`));
    if (channel.protocol === PROTOCOL) {
      this.#receiveFile(channel);
    } else if (channel.label === "chat") {
      this.#chat = channel;
      channel.addEventListener("message", ({ data }) => {
        if (typeof data === "string") this.#tell("chat", { text: data });
      });
      channel.addEventListener("open", () => this.#tell("chatopen"));
      channel.addEventListener("close", () => this.#tell("chatclose"));
    }
  }

  async #receiveFile(channel) {
    if (this.#incomingFiles === MAX_INCOMING_FILES) {
      channel.close();
      return;
    }
    const name = channel.label;
    this.#incomingFiles++;
    try {
      const progress = (done, total) => this.#tell("progress", { key: channel, name, done, total });
      const transfer = await receiveFile(channel, progress);
      this.#note("file", `${transfer.name} received`);
      this.#tell("transfer", { key: channel, transfer, sent: false });
    } catch {
      channel.close();
      this.#tell("transferfailed", { key: channel, name });
    } finally {
      this.#incomingFiles--;
    }
  }

  /** Whether the other side can no longer be reached, or has closed its connection. */
  get over() {
    return this.pc.connectionState !== "connected" || this.#chat?.readyState === "closed";
  }

  get canChat() {
    return this.#chat?.readyState === "open";
  }

  say(text) {
    this.#chat.send(text);
  }

  async sendFile(name, blob) {
    const channel = this.pc.createDataChannel(name.slice(0, 255), { protocol: PROTOCOL });
    const progress = (done, total) => this.#tell("progress", { key: channel, name, done, total });
    try {
      const transfer = await sendFile(channel, name, blob, progress);
      this.#note("file", `${name} sent`);
      this.#tell("transfer", { key: channel, transfer, sent: true });
      return transfer;
    } catch (error) {
      this.#tell("transferfailed", { key: channel, name });
      throw error;
    } finally {
      channel.close();
    }
  }

  // the rest

  /** The selected candidate pair and the security of the transport. */
  async summary() {
    const stats = await this.pc.getStats();
    const transport = [...stats.values()].find(({ type }) => type === "transport");
    const pair = transport && stats.get(transport.selectedCandidatePairId);
    if (!pair) return {};
    const end = (id) => {
      const { address, port, candidateType, protocol } = stats.get(id) ?? {};
      return `${address || "(hidden)"}:${port} ${candidateType}/${protocol}`;
    };
    const facts = {
      "candidate pair": `${end(pair.localCandidateId)} - ${end(pair.remoteCandidateId)}`,
      "DTLS version": DTLS_VERSIONS[transport.tlsVersion] ?? transport.tlsVersion,
      "DTLS cipher": transport.dtlsCipher,
      SRTP: transport.srtpCipher,
    };
    return Object.fromEntries(Object.entries(facts).filter(([, value]) => value));
  }

  close() {
    this.pc.close();
    this.#note("connection", "closed");
  }

  #note(what, state) {
    const entry = [performance.now() - this.#start, what, state];
    if (this.timeline.length < MAX_NOTES) {
      this.timeline.push(entry);
      this.#tell("note", { entry });
    }
  }

  #tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
