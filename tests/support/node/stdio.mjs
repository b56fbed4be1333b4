// What peers in Node share: the calls described in host.py, a line of JSON each way on standard
// input and output.

import { randomBytes, createHash } from "node:crypto";
import { createInterface } from "node:readline";

export const BUFFER_BYTES = 1 << 20;

export const gate = () => {
  let open;
  const promise = new Promise((resolve) => (open = resolve));
  return { promise, open };
};

export const encode = (data) =>
  typeof data === "string" ? data : { base64: Buffer.from(data).toString("base64") };
export const decode = (value) => (typeof value === "string" ? value : Buffer.from(value.base64, "base64"));

// Sends messages that sum up to `totalBytes`; `send` may wait. The SHA-256 of it all, in hex.
export const sendHashed = async (totalBytes, messageBytes, send) => {
  const block = randomBytes(messageBytes);
  const sha = createHash("sha256");
  for (let sent = 0, number = 0; sent < totalBytes; sent += messageBytes, number++) {
    const message = Buffer.from(block.subarray(0, Math.min(messageBytes, totalBytes - sent)));
    message.writeUInt32BE(number);
    await send(message);
    sha.update(message);
  }
  return sha.digest("hex");
};

export const receiveHashed = async (totalBytes, messages) => {
  const sha = createHash("sha256");
  for (let received = 0; received < totalBytes; ) {
    const data = Buffer.from(await messages.take());
    sha.update(data);
    received += data.length;
  }
  return sha.digest("hex");
};

// Obeys calls: `Peer` is made for each "newPeer", and has its channels in a Map.
export const serve = (Peer) => {
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
};
