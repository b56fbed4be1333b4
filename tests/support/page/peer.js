// A browser as a peer under test: obeys the calls described in host.py, over one WebSocket.
// Each peer connection lives in a frame of its own, so that it can vanish like a closed page.

import { Mailbox } from "./mailbox.mjs";
import { Transceiver, capabilities, makeTrack } from "./media.mjs";

const BUFFER_BYTES = 1 << 20;

const toBase64 = (bytes) => {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  }
  return btoa(text);
};
const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const encode = (data) => (typeof data === "string" ? data : { base64: toBase64(new Uint8Array(data)) });
const decode = (value) => (typeof value === "string" ? value : fromBase64(value.base64));

const sha256 = async (parts) => {
  const hash = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
};

const once = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));

class Channel {
  messages = new Mailbox();

  constructor(channel) {
    this.channel = channel;
    channel.binaryType = "arraybuffer";
    this.open = channel.readyState === "open" ? Promise.resolve() : once(channel, "open");
    this.close = once(channel, "close");
    channel.onmessage = ({ data }) => this.messages.put(data);
  }

  info() {
    const { label, protocol, ordered, maxRetransmits, maxPacketLifeTime, negotiated, id, readyState } = this.channel;
    return { label, protocol, ordered, maxRetransmits, maxPacketLifeTime, negotiated, id, readyState };
  }

  async opened() {
    await this.open;
  }

  send(value) {
    this.channel.send(decode(value));
  }

  async receive() {
    return encode(await this.messages.take());
  }

  echo() {
    this.channel.onmessage = ({ data }) => this.channel.send(data);
  }

  async sendHashed(totalBytes, messageBytes) {
    const block = new Uint8Array(messageBytes);
    for (let i = 0; i < messageBytes; i += 65536) crypto.getRandomValues(block.subarray(i, i + 65536));
    this.channel.bufferedAmountLowThreshold = BUFFER_BYTES / 2;
    const parts = [];
    for (let sent = 0; sent < totalBytes; sent += messageBytes) {
      const message = block.slice(0, Math.min(messageBytes, totalBytes - sent));
      new DataView(message.buffer).setUint32(0, parts.length);
      if (this.channel.bufferedAmount + message.length > BUFFER_BYTES) {
        await once(this.channel, "bufferedamountlow");
      }
      this.channel.send(message);
      parts.push(message);
    }
    return sha256(parts);
  }

  async receiveHashed(totalBytes) {
    const parts = [];
    for (let received = 0; received < totalBytes; ) {
      const data = await this.messages.take();
      parts.push(data);
      received += data.byteLength;
    }
    return sha256(parts);
  }

  async low(thresholdBytes, burst, messageBytes) {
    this.channel.bufferedAmountLowThreshold = thresholdBytes;
    const low = once(this.channel, "bufferedamountlow");
    for (let i = 0; i < burst; i++) this.channel.send(new Uint8Array(messageBytes));
    await low;
    return this.channel.bufferedAmount;
  }

  closeChannel() {
    this.channel.close();
  }

  async closed() {
    await this.close;
  }
}

class Peer {
  channels = new Map();
  incoming = new Mailbox();
  candidates = new Mailbox();
  seen = [];
  #nextChannel = 1;

  static async make(configuration) {
    const frame = document.createElement("iframe");
    const loaded = once(frame, "load");
    frame.src = "blank.html";
    document.body.append(frame);
    await loaded;
    return new Peer(frame, configuration);
  }

  constructor(frame, configuration) {
    this.frame = frame;
    const pc = new frame.contentWindow.RTCPeerConnection(configuration);
    this.pc = pc;
    pc.onicecandidate = ({ candidate }) => {
      // Chromium and Firefox also fire an empty candidate per generation; null is the end.
      if (candidate === null || candidate.candidate !== "") this.candidates.put(candidate && candidate.toJSON());
    };
    pc.ondatachannel = ({ channel }) => this.incoming.put(this.#add(channel));
  }

  #add(channel) {
    const number = this.#nextChannel++;
    this.channels.set(number, new Channel(channel));
    return number;
  }

  createChannel(label, options) {
    return this.#add(this.pc.createDataChannel(label, options));
  }

  nextChannel() {
    return this.incoming.take();
  }

  // A transceiver keeps its number, also when it is stopped and leaves getTransceivers().
  #number(transceiver) {
    const known = this.seen.findIndex((one) => one.transceiver === transceiver);
    return known >= 0 ? known : this.seen.push(new Transceiver(transceiver)) - 1;
  }

  #sends(transceiver, made) {
    const number = this.#number(transceiver);
    this.seen[number].sends(made);
    return number;
  }

  send(source) {
    const made = makeTrack(source);
    const sender = this.pc.addTrack(made.track, new MediaStream([made.track]));
    return this.#sends(this.pc.getTransceivers().find((one) => one.sender === sender), made);
  }

  addTransceiver(kind, source, direction, layers) {
    const made = source && makeTrack(source);
    const init = { direction, streams: made ? [new MediaStream([made.track])] : [] };
    if (layers.length) init.sendEncodings = layers;
    return this.#sends(this.pc.addTransceiver(made ? made.track : kind, init), made);
  }

  transceivers() {
    return this.pc.getTransceivers().map((one) => this.#number(one));
  }

  capabilities(kind) {
    return capabilities(kind);
  }

  async createOffer(restart) {
    if (restart) this.pc.restartIce();
    await this.pc.setLocalDescription();
    return this.pc.localDescription.toJSON();
  }

  async acceptOffer(offer) {
    await this.pc.setRemoteDescription(offer);
    await this.pc.setLocalDescription();
    return this.pc.localDescription.toJSON();
  }

  async acceptAnswer(answer) {
    await this.pc.setRemoteDescription(answer);
  }

  async addCandidate(candidate) {
    await this.pc.addIceCandidate(candidate ?? undefined);
  }

  nextCandidate() {
    return this.candidates.take();
  }

  async connected() {
    while (this.pc.connectionState !== "connected") {
      if (["failed", "closed"].includes(this.pc.connectionState)) throw new Error(`connection ${this.pc.connectionState}`);
      await once(this.pc, "connectionstatechange");
    }
  }

  async stats() {
    return [...(await this.pc.getStats()).values()];
  }

  // Perfect negotiation (webrtc-pc, section 10.7): from now on the page offers by itself, and what it
  // has to signal waits in a mailbox.
  negotiate(polite) {
    const { pc } = this;
    const state = (this.negotiation = { polite, making: false, ignoring: false, settingAnswer: false, offers: 0 });
    this.signals = new Mailbox();
    pc.onicecandidate = ({ candidate }) => this.signals.put({ candidate: candidate && candidate.toJSON() });
    pc.onnegotiationneeded = async () => {
      try {
        state.making = true;
        await pc.setLocalDescription();
        state.offers++;
        this.signals.put({ description: pc.localDescription.toJSON() });
      } finally {
        state.making = false;
      }
    };
  }

  nextSignal() {
    return this.signals.take();
  }

  async signal({ description, candidate }) {
    const { pc, negotiation: state } = this;
    if (!description) {
      try {
        await pc.addIceCandidate(candidate ?? undefined);
      } catch (error) {
        if (!state.ignoring) throw error;
      }
      return;
    }
    const ready = !state.making && (pc.signalingState === "stable" || state.settingAnswer);
    state.ignoring = !state.polite && description.type === "offer" && !ready;
    if (state.ignoring) return;
    state.settingAnswer = description.type === "answer";
    await pc.setRemoteDescription(description);
    state.settingAnswer = false;
    if (description.type === "offer") {
      await pc.setLocalDescription();
      this.signals.put({ description: pc.localDescription.toJSON() });
    }
  }

  negotiated() {
    return { offers: this.negotiation.offers, state: this.pc.signalingState };
  }

  vanish() {
    this.frame.remove();
    for (const transceiver of this.seen) transceiver.release();
  }

  close() {
    this.pc.close();
    this.vanish();
  }
}

const peers = new Map();
let nextPeer = 1;

const answer = async ({ peer, channel, transceiver, method, args }) => {
  if (method === "newPeer") {
    peers.set(nextPeer, await Peer.make(args[0]));
    return nextPeer++;
  }
  let target = peers.get(peer);
  if (channel !== null) target = target.channels.get(channel);
  if (transceiver !== null) target = target.seen[transceiver];
  const result = await target[method](...args);
  if (method === "close" || method === "vanish") peers.delete(peer);
  return result;
};

const socket = new WebSocket(`ws://${location.host}/socket`);
socket.onmessage = async ({ data }) => {
  const request = JSON.parse(data);
  try {
    const result = await answer(request);
    socket.send(JSON.stringify({ id: request.id, result: result ?? null }));
  } catch (error) {
    socket.send(JSON.stringify({ id: request.id, error: `${error.name}: ${error.message}` }));
  }
};
