// The demonstration: the page makes its calls by itself.
//
// ?script=offer,answer&with=bot&bytes=1000000 calls the bot twice. It offers, or has the bot offer;
// in each call sound and pictures go both ways, and a file too, and a report of the call is signalled.

import { Meter } from "./statistics.js";

const once = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));

function randomBlob(bytes) {
  const parts = [];
  for (let left = bytes; left > 0; left -= 65536) {
    parts.push(crypto.getRandomValues(new Uint8Array(Math.min(left, 65536))));
  }
  return new Blob(parts);
}

const kinds = (call) => call.pc.getSenders().flatMap(({ track }) => track?.kind ?? []);

const WATCHED_MS = 3000;
const FIRST_PICTURE_MS = 10_000;
const SAMPLES = 8;

/** Colours along the middle of the picture, from left to right, as [red, green, blue]. */
function colours(video) {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0);
  return Array.from({ length: SAMPLES }, (_, i) => {
    const x = Math.floor(((i + 0.5) * canvas.width) / SAMPLES);
    // a bright line goes round in the picture: it is in one of two places at the most
    const [one, other] = [3 / 8, 5 / 8].map((part) => context.getImageData(x, Math.floor(canvas.height * part), 1, 1).data);
    return [0, 1, 2].map((channel) => Math.min(one[channel], other[channel]));
  });
}

/** Look at what comes for some seconds: figures of getStats, the first picture's time, and its colours. */
async function watch(call, begun) {
  const video = document.createElement("video");
  video.muted = true;
  video.srcObject = call.remote;
  const first = new Promise((resolve) => video.requestVideoFrameCallback(() => resolve(performance.now() - begun)));
  await video.play();
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error("no picture came")), FIRST_PICTURE_MS));
  const firstPictureMs = await Promise.race([first, late]);
  const meter = new Meter();
  meter.read(await call.pc.getStats());
  await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
  const report = await call.pc.getStats();
  const heard = [...report.values()].find(({ type, kind }) => type === "inbound-rtp" && kind === "audio");
  const result = { firstPictureMs, ...meter.read(report), energy: heard?.totalAudioEnergy ?? 0, colours: colours(video) };
  video.srcObject = null;
  return result;
}

async function runCall(phone, step, name, bytes) {
  const begun = once(phone, "call");
  const start = performance.now();
  await phone.dial(name, step === "offer" ? "caller" : "callee");
  const { call } = (await begun).detail;
  if (!call.canChat) await once(call, "chatopen");
  const received = once(call, "transfer");
  call.say(`/file ${bytes}`);
  const arrived = (await received).detail.transfer;
  const sent = await call.sendFile("page.bin", randomBlob(bytes));
  const media = kinds(call).length ? await watch(call, start) : null;
  const { blob, ...file } = arrived;
  const { timeline, candidatesSent, candidatesReceived } = call;
  const facts = await call.summary();
  const figures = { kinds: kinds(call), media, sent, received: file, facts };
  const report = { timeline, candidatesSent, candidatesReceived, ...figures };
  phone.signal({ type: "report", report: { step, agent: navigator.userAgent, ...report } });
}

export async function runScript(phone, query) {
  const name = query.get("with") ?? "bot";
  const bytes = Number(query.get("bytes") ?? 1e6);
  while (!phone.signaling.members.has(name)) await once(phone.signaling, "entered");
  for (const step of query.get("script").split(",")) {
    try {
      await runCall(phone, step, name, bytes);
    } catch (error) {
      phone.signal({ type: "report", report: { step, error: `${error}` } });
    }
    phone.hangUp();
  }
}
