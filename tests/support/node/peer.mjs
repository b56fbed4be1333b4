// libdatachannel (its Node binding) as a peer under test: obeys the calls described in host.py,
// a line of JSON each way on standard input and output.

import { createHash, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import datachannel from "node-datachannel";
import { Mailbox } from "../page/mailbox.mjs";

const BUFFER_BYTES = 1 << 20;

const gate = () => {
  let open;
  const promise = new Promise((resolve) => (open = resolve));
  return { promise, open };
};

const encode = (data) => (typeof data === "string" ? data : { base64: Buffer.from(data).toString("base64") });
const decode = (value) => (typeof value === "string" ? value : Buffer.from(value.base64, "base64"));

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

  async sendHashed(totalBytes, messageBytes) {
    const block = randomBytes(messageBytes);
    const sha = createHash("sha256");
    this.channel.setBufferedAmountLowThreshold(BUFFER_BYTES / 2);
    for (let sent = 0, number = 0; sent < totalBytes; sent += messageBytes, number++) {
      const message = Buffer.from(block.subarray(0, Math.min(messageBytes, totalBytes - sent)));
      message.writeUInt32BE(number);
      while (this.channel.bufferedAmount() + message.length > BUFFER_BYTES) {
        // the callback comes from another thread: it may have come before we looked
        await Promise.race([this.#low.promise, new Promise((resolve) => setTimeout(resolve, 50))]);
      }
      this.channel.sendMessageBinary(message);
      sha.update(message);
    }
    return sha.digest("hex");
  }

  async receiveHashed(totalBytes) {
    const sha = createHash("sha256");
    for (let received = 0; received < totalBytes; ) {
      const data = Buffer.from(await this.messages.take());
      sha.update(data);
      received += data.length;
    }
    return sha.digest("hex");
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

const peers = new Map();
let nextPeer = 1;

const answer = async ({ peer, channel, method, args }) => {
  if (method === "newPeer") {
    peers.set(nextPeer, new Peer(args[0]));
    return nextPeer++;
  }
  const target = channel === null ? peers.get(peer) : peers.get(peer).channels.get(channel);
  const result = await target[method](...args);
  if (method === "close") peers.delete(peer);
  return result;
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const request = JSON.parse(line);
  let reply;
  try {
    reply = { id: request.id, result: (await answer(request)) ?? null };
  } catch (error) {
    reply = { id: request.id, error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
});
