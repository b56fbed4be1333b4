// A file through a data channel of its own; the protocol is described in transfer.py.

export const PROTOCOL = "file";

const CHUNK_BYTES = 16384;
const BUFFER_BYTES = 1 << 20;

const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const digest = async (blob) => hex(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
const once = (target, ...names) =>
  new Promise((resolve) => names.forEach((name) => target.addEventListener(name, resolve, { once: true })));

const opened = async (channel) => {
  if (channel.readyState === "connecting") await once(channel, "open", "close");
  if (channel.readyState !== "open") throw new Error("the channel was closed");
};

/** Send a file; resolves when the other side has confirmed it. */
export async function sendFile(channel, name, blob, progress = () => {}) {
  const sha256 = await digest(blob);
  const data = await blob.arrayBuffer();
  await opened(channel);
  const start = performance.now();
  const answer = once(channel, "message", "close");
  channel.bufferedAmountLowThreshold = BUFFER_BYTES / 2;
  channel.send(JSON.stringify({ name, size: data.byteLength }));
  for (let offset = 0; offset < data.byteLength; offset += CHUNK_BYTES) {
    if (channel.bufferedAmount > BUFFER_BYTES) await once(channel, "bufferedamountlow", "close");
    channel.send(data.slice(offset, offset + CHUNK_BYTES));
    progress(Math.min(offset + CHUNK_BYTES, data.byteLength), data.byteLength);
  }
  const { data: text } = await answer;
  const seconds = (performance.now() - start) / 1000;
  const verified = typeof text === "string" && JSON.parse(text).sha256 === sha256;
  return { name, size: data.byteLength, sha256, verified, seconds };
}

/** Receive a file and confirm it; resolves with it as a blob. */
export function receiveFile(channel, progress = () => {}) {
  channel.binaryType = "arraybuffer";
  return new Promise((resolve, reject) => {
    const parts = [];
    let head = null;
    let start = 0;
    let size = 0;
    channel.addEventListener("close", () => reject(new Error("the channel was closed")));
    channel.addEventListener("message", async ({ data }) => {
      if (typeof data === "string") {
        head = JSON.parse(data);
        start = performance.now();
      } else {
        parts.push(data);
        size += data.byteLength;
      }
      progress(size, head.size);
      if (size >= head.size) {
        const seconds = (performance.now() - start) / 1000;
        const blob = new Blob(parts);
        const sha256 = await digest(blob);
        channel.send(JSON.stringify({ sha256 }));
        resolve({ name: head.name, size, sha256, blob, seconds });
      }
    });
  });
}
