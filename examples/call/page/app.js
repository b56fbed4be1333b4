// The page: the room, one call at a time, its chat and files.
//
// ?name=ann&room=lobby enters at once. ?script=offer,answer&with=bot&bytes=1000000 runs calls by
// itself: it offers, or asks to be called, sends a file each way, and signals a report of each call.

import { Call } from "./call.js";
import { Signaling } from "./signaling.js";

const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

let signaling = null;
let call = null;
let other = null;
let inbox = Promise.resolve();

const chips = ["signaling", "gathering", "ice", "connection"];
const good = new Set(["stable", "complete", "connected", "completed"]);
const bad = new Set(["failed", "disconnected", "closed"]);

function showMembers() {
  $("members").replaceChildren(
    ...[...signaling.members].sort().map((name) => {
      const button = make("button", { textContent: "Call" });
      button.onclick = () => begin(name).call();
      return make("li", {}, make("span", { textContent: name }), button);
    }),
  );
}

function showState(what, state) {
  const id = `state-${what}`;
  const chip = $(id) ?? $("states").appendChild(make("span", { id }));
  chip.textContent = `${what}: ${state}`;
  chip.className = `chip ${good.has(state) ? "good" : ""} ${bad.has(state) ? "bad" : ""}`;
}

function showLine(text, mine) {
  const lines = $("lines");
  lines.append(make("p", { textContent: text, className: mine ? "mine" : "" }));
  lines.scrollTop = lines.scrollHeight;
}

function fileRow(name) {
  let row = [...$("files").children].find((item) => item.dataset.name === name);
  if (!row) {
    row = make("li", {}, make("div", { textContent: name }), make("progress", { value: 0 }));
    row.dataset.name = name;
    $("files").prepend(row);
  }
  return row;
}

function showTransfer({ transfer, sent }) {
  const rate = (transfer.size / 1e6 / transfer.seconds).toFixed(1);
  const checked = transfer.verified === false ? "NOT as it was sent" : "checked";
  const text = `${sent ? "sent" : "received"}, ${transfer.size} bytes, ${rate} MB/s, ${checked}`;
  const row = fileRow(transfer.name);
  const name = sent
    ? make("span", { textContent: transfer.name })
    : make("a", { textContent: transfer.name, href: URL.createObjectURL(transfer.blob), download: transfer.name });
  row.replaceChildren(make("div", {}, name), make("div", { textContent: text }));
  delete row.dataset.name;
}

function begin(name) {
  end(true);
  other = name;
  call = new Call((data) => signaling.signal(name, data), signaling.name > name);
  $("other").textContent = name;
  for (const id of ["states", "facts", "timeline", "lines", "files"]) $(id).replaceChildren();
  for (const what of chips) showState(what, "new");
  $("call").hidden = $("talk").hidden = false;
  const current = call;
  call.addEventListener("note", async ({ detail: { entry } }) => {
    const [ms, what, state] = entry;
    const cells = [make("b", { textContent: `${ms.toFixed(0)} ms` }), make("span", { textContent: what }), make("span", { textContent: state })];
    $("timeline").append(make("li", {}, ...cells));
    if (chips.includes(what)) showState(what, state);
    if (what === "connection" && state === "connected") {
      const facts = await current.summary();
      $("facts").replaceChildren(
        ...Object.entries(facts).flatMap(([key, value]) => [make("dt", { textContent: key }), make("dd", { textContent: value })]),
      );
    }
  });
  call.addEventListener("chat", ({ detail }) => showLine(detail.text, false));
  call.addEventListener("transfer", ({ detail }) => showTransfer(detail));
  call.addEventListener("progress", ({ detail: { name: file, done, total } }) => {
    const bar = fileRow(file).querySelector("progress");
    if (bar) Object.assign(bar, { max: total, value: done });
  });
  return call;
}

function end(tell) {
  if (!call) return;
  if (tell) signaling.signal(other, { bye: true });
  call.close();
  call = null;
  $("talk").hidden = true;
}

async function signalled({ from, data }) {
  if (data.bye) {
    if (from === other) end(false);
    return;
  }
  if (call && from === other) {
    await call.receive(data);
  } else if (data.description) {
    await begin(from).receive(data);
  } else if (data.callMe) {
    begin(from).call();
  }
}

async function enter(room, name) {
  $("problem").hidden = true;
  try {
    signaling = await Signaling.join(room, name);
  } catch (error) {
    $("problem").textContent = error.message;
    $("problem").hidden = false;
    throw error;
  }
  $("whoami").textContent = `${signaling.name} in ${signaling.room}`;
  $("join").hidden = true;
  showMembers();
  signaling.addEventListener("entered", showMembers);
  signaling.addEventListener("left", ({ detail }) => {
    if (detail.name === other) end(false);
    showMembers();
  });
  signaling.addEventListener("signal", ({ detail }) => {
    inbox = inbox.then(() => signalled(detail)).catch((error) => showLine(`${error}`, false));
  });
  signaling.addEventListener("close", () => ($("whoami").textContent = "the server has gone"));
}

$("join").onsubmit = (event) => {
  event.preventDefault();
  const { room, name } = Object.fromEntries(new FormData(event.target));
  enter(room, name).catch(() => {});
};
$("say").onsubmit = (event) => {
  event.preventDefault();
  const { text } = event.target.elements;
  if (text.value && call?.canChat) {
    call.say(text.value);
    showLine(text.value, true);
  }
  text.value = "";
};
$("file").onchange = ({ target }) => {
  if (call && target.files.length) call.sendFile(target.files[0].name, target.files[0]);
  target.value = "";
};
$("hangup").onclick = () => end(true);

// the script of the demonstration

const once = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));

function randomBlob(bytes) {
  const parts = [];
  for (let left = bytes; left > 0; left -= 65536) {
    parts.push(crypto.getRandomValues(new Uint8Array(Math.min(left, 65536))));
  }
  return new Blob(parts);
}

async function runCall(step, name, bytes) {
  if (step === "offer") {
    begin(name).call();
  } else {
    signaling.signal(name, { callMe: true });
    while (!call) await once(signaling, "signal").then(() => inbox);
  }
  if (!call.canChat) await once(call, "chatopen");
  const received = once(call, "transfer");
  call.say(`/file ${bytes}`);
  const arrived = (await received).detail.transfer;
  const sent = await call.sendFile("page.bin", randomBlob(bytes));
  const { blob, ...file } = arrived;
  const { timeline, candidatesSent, candidatesReceived } = call;
  const report = { timeline, candidatesSent, candidatesReceived, sent, received: file, facts: await call.summary() };
  signaling.signal(name, { report: { step, agent: navigator.userAgent, ...report } });
  end(true);
}

async function runScript(steps, name, bytes) {
  while (!signaling.members.has(name)) await once(signaling, "entered");
  for (const step of steps) {
    try {
      await runCall(step, name, bytes);
    } catch (error) {
      signaling.signal(name, { report: { step, error: `${error}` } });
      end(true);
    }
  }
}

const query = new URLSearchParams(location.search);
if (query.has("name")) {
  await enter(query.get("room") ?? "lobby", query.get("name"));
  if (query.has("script")) {
    await runScript(query.get("script").split(","), query.get("with") ?? "bot", Number(query.get("bytes") ?? 1e6));
  }
}
