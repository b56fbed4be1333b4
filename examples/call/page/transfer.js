// A file through a data channel of its own; the protocol is described in docs/call-app.md.

export const PROTOCOL = "file";
export const MAX_FILE_BYTES = 2 ** 28;

const CHUNK_BYTES = 16384;
const BUFFER_BYTES = 1 << 20;

const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
// crypto.subtle is for secure contexts only; elsewhere nothing is verified
const digest = async (data) => (crypto.subtle ? hex(await crypto.subtle.digest("SHA-256", data)) : "");
const once = (target, ...names) =>
  new Promise((resolve) => names.forEach((name) => target.addEventListener(name, resolve, { once: true })));

const opened = async (channel) => {
  if (channel.readyState === "connecting") await once(channel, "open", "close");
  if (channel.readyState !== "open") throw new Error("the channel was closed");
};

/** Send a file; resolves when the other side has confirmed it. */
export async function sendFile(channel, name, blob, progress = () => {}) {
  const data = await blob.arrayBuffer();
  const sha256 = await digest(data);
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
  if (typeof text !== "string") throw new Error("the channel was closed");
  const seconds = (performance.now() - start) / 1000;
  const verified = sha256 !== "" && JSON.parse(text).sha256 === sha256;
  return { name, size: data.byteLength, sha256, verified, seconds };
}

/** Receive a file and confirm it; resolves with it as a blob, rejects when the sender misbehaves. */
export function receiveFile(channel, progress = () => {}) {
  channel.binaryType = "arraybuffer";
  return new Promise((resolve, reject) => {
    const parts = [];
    let head = null;
    let start = 0;
    let size = 0;

    async function take(data) {
      if (typeof data === "string") {
        if (head) throw new Error("a second beginning");
        head = JSON.parse(data);
        if (!Number.isInteger(head.size) || head.size < 0 || head.size > MAX_FILE_BYTES) {
          throw new Error("no such size");
        }
        start = performance.now();
      } else {
        if (!head || size + data.byteLength > head.size) throw new Error("more than was announced");
        parts.push(data);
        size += data.byteLength;
      }
      progress(size, head.size);
      if (size < head.size) return;
      const seconds = (performance.now() - start) / 1000;
      const blob = new Blob(parts);
      const sha256 = await digest(await blob.arrayBuffer());
      channel.send(JSON.stringify({ sha256 }));
      resolve({ name: String(head.name), size, sha256, blob, seconds });
    }

    channel.addEventListener("close", () => reject(new Error("the channel was closed")));
    channel.addEventListener("message", ({ data }) => take(data).catch(reject));
  });
}
