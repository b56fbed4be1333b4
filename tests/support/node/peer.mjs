// libdatachannel (its Node binding) as a peer under test.

import datachannel from "node-datachannel";
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
    channel.onOpen(() => this.#open.open());
    channel.onClosed(() => this.#close.open());
    channel.onError(() => this.#close.open());
    channel.onBufferedAmountLow(() => {
      this.#low.open();
      this.#low = gate();
    });
    channel.onMessage((data) => {
      if (this.#echo) this.#send(data);
      else this.messages.put(data);
    });
    if (channel.isOpen()) this.#open.open();
  }

  #send(data) {
    if (typeof data === "string") this.channel.sendMessage(data);
    else this.channel.sendMessageBinary(Buffer.from(data));
  }

  info() {
    return { label: this.channel.getLabel(), protocol: this.channel.getProtocol(), id: this.channel.getId() };
  }

  opened() {
    return this.#open.promise;
  }

  send(value) {
    this.#send(decode(value));
  }

  async receive() {
    return encode(await this.messages.take());
  }

  echo() {
    this.#echo = true;
  }

  sendHashed(totalBytes, messageBytes) {
    this.channel.setBufferedAmountLowThreshold(BUFFER_BYTES / 2);
    return sendHashed(totalBytes, messageBytes, async (message) => {
      while (this.channel.bufferedAmount() + message.length > BUFFER_BYTES) {
        // the callback comes from another thread: it may have come before we looked
        await Promise.race([this.#low.promise, new Promise((resolve) => setTimeout(resolve, 50))]);
      }
      this.channel.sendMessageBinary(message);
    });
  }

  receiveHashed(totalBytes) {
    return receiveHashed(totalBytes, this.messages);
  }

  async low(thresholdBytes, burst, messageBytes) {
    this.channel.setBufferedAmountLowThreshold(thresholdBytes);
    const low = this.#low.promise;
    for (let i = 0; i < burst; i++) this.channel.sendMessageBinary(Buffer.alloc(messageBytes));
    await low;
    return this.channel.bufferedAmount();
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
  #described = new Mailbox();

  constructor(configuration) {
    this.pc = new datachannel.PeerConnection("node", {
      iceServers: [],
      disableAutoNegotiation: true,
      maxMessageSize: 262144,
      ...configuration,
    });
    this.pc.onLocalDescription((sdp, type) => this.#described.put({ type, sdp }));
    this.pc.onLocalCandidate((candidate, sdpMid) => {
      this.candidates.put({ candidate: candidate.replace(/^a=/, ""), sdpMid, sdpMLineIndex: 0 });
    });
    this.pc.onGatheringStateChange((state) => {
      if (state === "complete") this.candidates.put(null);
    });
    this.pc.onStateChange((state) => {
      if (state === "connected") this.#connected.open();
    });
    this.pc.onDataChannel((channel) => this.incoming.put(this.#add(channel)));
  }

  #add(channel) {
    const number = this.#nextChannel++;
    this.channels.set(number, new Channel(channel));
    return number;
  }

  createChannel(label, { ordered, ...options }) {
    return this.#add(this.pc.createDataChannel(label, { unordered: ordered === false, ...options }));
  }

  nextChannel() {
    return this.incoming.take();
  }

  createOffer() {
    this.pc.setLocalDescription("offer");
    return this.#described.take();
  }

  acceptOffer({ sdp, type }) {
    this.pc.setRemoteDescription(sdp, type);
    this.pc.setLocalDescription("answer");
    return this.#described.take();
  }

  acceptAnswer({ sdp, type }) {
    this.pc.setRemoteDescription(sdp, type);
  }

  addCandidate(candidate) {
    // the binding has no end of candidates
    if (candidate !== null && candidate.candidate !== "") {
      this.pc.addRemoteCandidate(candidate.candidate, candidate.sdpMid ?? "0");
    }
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

  close() {
    this.pc.close();
  }
}

serve(Peer);
