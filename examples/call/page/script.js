// The demonstration: the page makes its calls by itself.
//
// ?script=offer,answer&with=bot&bytes=1000000 calls the bot twice. It offers, or has the bot offer;
// in each call a file goes each way, and a report of the call is signalled.

const once = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));

function randomBlob(bytes) {
  const parts = [];
  for (let left = bytes; left > 0; left -= 65536) {
    parts.push(crypto.getRandomValues(new Uint8Array(Math.min(left, 65536))));
  }
  return new Blob(parts);
}

async function runCall(phone, step, name, bytes) {
  const begun = once(phone, "call");
  await phone.dial(name, step === "offer" ? "caller" : "callee");
  const { call } = (await begun).detail;
  if (!call.canChat) await once(call, "chatopen");
  const received = once(call, "transfer");
  call.say(`/file ${bytes}`);
  const arrived = (await received).detail.transfer;
  const sent = await call.sendFile("page.bin", randomBlob(bytes));
  const { blob, ...file } = arrived;
  const { timeline, candidatesSent, candidatesReceived } = call;
  const kinds = call.pc.getSenders().flatMap(({ track }) => track?.kind ?? []);
  const facts = await call.summary();
  const report = { timeline, candidatesSent, candidatesReceived, kinds, sent, received: file, facts };
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
