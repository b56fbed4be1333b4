// A call with one other member: perfect negotiation, a chat, files, and a timeline.
//
// Events: "note" (a new entry of the timeline), "chat" ({text}), "transfer" ({transfer, sent}),
// "progress" ({name, done, total}).

import { PROTOCOL, receiveFile, sendFile } from "./transfer.js";

const STATES = {
  signalingstatechange: ["signaling", "signalingState"],
  icegatheringstatechange: ["gathering", "iceGatheringState"],
  iceconnectionstatechange: ["ice", "iceConnectionState"],
  connectionstatechange: ["connection", "connectionState"],
};

const DTLS_VERSIONS = { FEFF: "1.0", FEFD: "1.2", FEFC: "1.3" };

export class Call extends EventTarget {
  timeline = [];
  candidatesSent = 0;
  candidatesReceived = 0;
  #signal;
  #polite;
  #makingOffer = false;
  #ignoreOffer = false;
  #chat = null;
  #start = performance.now();

  constructor(signal, polite) {
    super();
    this.#signal = signal;
    this.#polite = polite;
    this.pc = new RTCPeerConnection();
    this.pc.onnegotiationneeded = () => this.#offer();
    this.pc.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) this.candidatesSent++;
      if (candidate === null || candidate.candidate) this.#signal({ candidate });
    };
    this.pc.ondatachannel = ({ channel }) => this.#take(channel);
    for (const [event, [what, attribute]] of Object.entries(STATES)) {
      this.pc.addEventListener(event, () => this.#note(what, this.pc[attribute]));
    }
  }

  /** Begin: a channel makes an offer necessary, and the rest follows. */
  call() {
    this.#take(this.pc.createDataChannel("chat"));
  }

  async #offer() {
    try {
      this.#makingOffer = true;
      await this.pc.setLocalDescription();
      this.#describe();
    } finally {
      this.#makingOffer = false;
    }
  }

  #describe() {
    this.#note("description", `${this.pc.localDescription.type} sent`);
    this.#signal({ description: this.pc.localDescription });
  }

  /** Take what the other member signalled; wait for one before the next. */
  async receive({ description, candidate }) {
    if (description) {
      const collision = description.type === "offer" && (this.#makingOffer || this.pc.signalingState !== "stable");
      this.#ignoreOffer = collision && !this.#polite;
      if (this.#ignoreOffer) return;
      this.#note("description", `${description.type} received`);
      await this.pc.setRemoteDescription(description);
      if (description.type === "offer") {
        await this.pc.setLocalDescription();
        this.#describe();
      }
    } else if (candidate !== undefined) {
      if (candidate) this.candidatesReceived++;
      try {
        await this.pc.addIceCandidate(candidate ?? undefined);
      } catch (error) {
        if (!this.#ignoreOffer) throw error;
      }
    }
  }

  #take(channel) {
    channel.addEventListener("open", () => this.#note("channel", `${channel.label} open`));
    if (channel.protocol === PROTOCOL) {
      const progress = (done, total) => this.#tell("progress", { name: channel.label, done, total });
      receiveFile(channel, progress).then((transfer) => {
        this.#note("file", `${transfer.name} received`);
        this.#tell("transfer", { transfer, sent: false });
      }, () => {});
    } else if (channel.label === "chat") {
      this.#chat = channel;
      channel.addEventListener("message", ({ data }) => this.#tell("chat", { text: data }));
      channel.addEventListener("open", () => this.#tell("chatopen", {}));
    }
  }

  get canChat() {
    return this.#chat?.readyState === "open";
  }

  say(text) {
    this.#chat.send(text);
  }

  async sendFile(name, blob) {
    const channel = this.pc.createDataChannel(name, { protocol: PROTOCOL });
    const progress = (done, total) => this.#tell("progress", { name, done, total });
    const transfer = await sendFile(channel, name, blob, progress);
    this.#note("file", `${name} sent`);
    this.#tell("transfer", { transfer, sent: true });
    channel.close();
    return transfer;
  }

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
    return {
      "candidate pair": `${end(pair.localCandidateId)} - ${end(pair.remoteCandidateId)}`,
      "DTLS version": DTLS_VERSIONS[transport.tlsVersion] ?? transport.tlsVersion,
      "DTLS cipher": transport.dtlsCipher,
    };
  }

  close() {
    this.pc.close();
    this.#note("connection", "closed");
  }

  #note(what, state) {
    const entry = [performance.now() - this.#start, what, state];
    this.timeline.push(entry);
    this.#tell("note", { entry });
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
