// werift (WebRTC in TypeScript) as a peer under test. It has no codecs: what it is sent it sends back,
// packet by packet, as a forwarding server would.

import { MediaStreamTrack, PictureLossIndication, RTCPeerConnection } from "werift";
import { Mailbox } from "../page/mailbox.mjs";
import { BUFFER_BYTES, decode, encode, gate, receiveHashed, sendHashed, serve } from "./stdio.mjs";

class Channel {
  messages = new Mailbox();
  #open = gate();
  #close = gate();
  #low = gate();
  #echo = false;

  constructor(channel) {
    this.channel = channel;
    channel.stateChanged.subscribe((state) => this.#state(state));
    channel.bufferedAmountLow.subscribe(() => {
      this.#low.open();
      this.#low = gate();
    });
    channel.onMessage.subscribe((data) => {
      if (this.#echo) channel.send(data);
      else this.messages.put(data);
    });
    this.#state(channel.readyState);
  }

  #state(state) {
    if (state === "open") this.#open.open();
    if (state === "closed") this.#close.open();
  }

  info() {
    const { label, protocol, ordered, negotiated, id, readyState } = this.channel;
    return { label, protocol, ordered, negotiated, id, readyState };
  }

  opened() {
    return this.#open.promise;
  }

  send(value) {
    this.channel.send(decode(value));
  }

  async receive() {
    return encode(await this.messages.take());
  }

  echo() {
    this.#echo = true;
  }

  sendHashed(totalBytes, messageBytes) {
    this.channel.bufferedAmountLowThreshold = BUFFER_BYTES / 2;
    return sendHashed(totalBytes, messageBytes, async (message) => {
      while (this.channel.bufferedAmount + message.length > BUFFER_BYTES) {
        await Promise.race([this.#low.promise, new Promise((resolve) => setTimeout(resolve, 50))]);
      }
      this.channel.send(message);
    });
  }

  receiveHashed(totalBytes) {
    return receiveHashed(totalBytes, this.messages);
  }

  async low(thresholdBytes, burst, messageBytes) {
    this.channel.bufferedAmountLowThreshold = thresholdBytes;
    const low = this.#low.promise;
    for (let i = 0; i < burst; i++) this.channel.send(Buffer.alloc(messageBytes));
    await low;
    return this.channel.bufferedAmount;
  }

  closeChannel() {
    this.channel.close();
  }

  closed() {
    return this.#close.promise;
  }
}

class Peer {
  channels = new Map();
  incoming = new Mailbox();
  candidates = new Mailbox();
  #nextChannel = 1;
  #connected = gate();

  constructor() {
    this.pc = new RTCPeerConnection({ iceServers: [] });
    this.pc.onIceCandidate.subscribe((candidate) => this.candidates.put(candidate?.toJSON() ?? null));
    this.pc.connectionStateChange.subscribe((state) => {
      if (state === "connected") this.#connected.open();
    });
    this.pc.onDataChannel.subscribe((channel) => this.incoming.put(this.#add(channel)));
    this.pc.onTransceiverAdded.subscribe((transceiver) => this.#mirror(transceiver));
  }

  #add(channel) {
    const number = this.#nextChannel++;
    this.channels.set(number, new Channel(channel));
    return number;
  }

  // Sends what comes for a transceiver back on the same one, and asks its source for key frames.
  #mirror(transceiver) {
    const out = new MediaStreamTrack({ kind: transceiver.kind });
    transceiver.setDirection("sendrecv");
    transceiver.sender.registerTrack(out);
    transceiver.onTrack.subscribe((track) => {
      track.onReceiveRtp.subscribe((packet) => out.writeRtp(packet));
      // not the sender's own event: werift gives a request to whoever receives from its sender's SSRC
      transceiver.sender.dtlsTransport.onRtcp.subscribe(({ feedback }) => {
        if (feedback instanceof PictureLossIndication && feedback.mediaSsrc === transceiver.sender.ssrc) {
          transceiver.receiver.sendRtcpPLI(track.ssrc);
        }
      });
    });
  }

  createChannel(label, options) {
    return this.#add(this.pc.createDataChannel(label, options));
  }

  nextChannel() {
    return this.incoming.take();
  }

  // Lets an offer ask for media, which is sent back.
  addTransceiver(kind) {
    this.pc.addTransceiver(kind, { direction: "sendrecv" });
    return this.pc.getTransceivers().length - 1;
  }

  async #set(description) {
    await this.pc.setLocalDescription(description);
    const { type, sdp } = this.pc.localDescription;
    return { type, sdp };
  }

  async createOffer(restart) {
    return this.#set(await this.pc.createOffer({ iceRestart: restart }));
  }

  async acceptOffer(offer) {
    await this.pc.setRemoteDescription(offer);
    return this.#set(await this.pc.createAnswer());
  }

  async acceptAnswer(answer) {
    await this.pc.setRemoteDescription(answer);
  }

  async addCandidate(candidate) {
    if (candidate !== null && candidate.candidate !== "") await this.pc.addIceCandidate(candidate);
  }

  nextCandidate() {
    return this.candidates.take();
  }

  connected() {
    return this.#connected.promise;
  }

  vanish() {
    process.kill(process.pid, "SIGKILL");
  }

  async close() {
    await this.pc.close();
  }
}

serve(Peer);
