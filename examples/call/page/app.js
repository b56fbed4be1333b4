// The page: what people see and press. Who calls whom is phone.js, the connection is call.js.
//
// ?name=ann&room=lobby enters at once. ?script=... is for the demonstration; see script.js.

import { Devices } from "./devices.js";
import { Log } from "./log.js";
import { Phone } from "./phone.js";
import { Ring } from "./ring.js";
import { runScript } from "./script.js";
import { Signaling } from "./signaling.js";
import { Meter, headline, rows } from "./statistics.js";
import { $, avatar, make, tabs } from "./widgets.js";

const ENDINGS = {
  hungup: () => "You hung up.",
  bye: (name) => `${name} hung up.`,
  declined: (name) => `You refused the call of ${name}.`,
  refused: (name) => `${name} refused the call.`,
  busy: (name) => `${name} is busy in another call.`,
  unanswered: (name) => `${name} does not answer.`,
  missed: (name) => `${name} called, and gave up.`,
  gone: (name) => `${name} has gone.`,
  lost: (name) => `The connection to ${name} was lost.`,
  failed: (name) => `The call with ${name} failed: the two sides could not agree.`,
};
const CHIPS = ["signaling", "gathering", "ice", "connection"];
const GOOD = new Set(["stable", "complete", "connected", "completed"]);
const BAD = new Set(["failed", "disconnected", "closed"]);

const devices = new Devices();
const ring = new Ring();
const log = new Log($("lines"));
let signaling = null;
let phone = null;
let meter = null;

function clock(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  return parts.slice(parts[0] ? 0 : 1).map((part) => String(part).padStart(2, "0")).join(":");
}

// the room

function showMembers() {
  const names = [...signaling.members.keys()].sort((a, b) => a.localeCompare(b));
  $("alone").hidden = names.length > 0;
  $("members").replaceChildren(
    ...names.map((name) => {
      const busy = signaling.members.get(name);
      const button = make("button", { textContent: "Call", disabled: phone.state !== "idle" });
      button.setAttribute("aria-label", `Call ${name}`);
      button.onclick = () => phone.dial(name);
      const state = make("small", { textContent: busy ? "in a call" : "here", className: busy ? "busy" : "here" });
      return make("li", {}, avatar(name), make("span", {}, make("b", { textContent: name }), state), button);
    }),
  );
}

function showWho() {
  $("whoami").textContent = signaling.online
    ? `${signaling.name} in ${signaling.room}`
    : "The server is lost; trying to reach it again.";
  $("whoami").className = signaling.online ? "good" : "bad";
}

// the call

function showPhone() {
  const { state, other, theirs } = phone;
  document.body.dataset.view = "room";
  document.body.dataset.phone = state;
  document.title = state === "ringing" ? `${other} is calling` : other ? `${other} · rtcstack call` : "rtcstack call";
  if (other) $("notice").textContent = "";
  if (state === "calling") $("notice").textContent = "Calling…";
  if (state === "talking" && !phone.connected) $("notice").textContent = "Connecting…";
  $("cancel").hidden = state !== "calling";
  $("who").textContent = other ?? "";
  $("their-mic").hidden = state !== "talking" || theirs.microphone;
  showRing();
  showCurtain();
  showMembers();
}

function showRing() {
  const { state, other } = phone;
  if (state === "ringing") {
    $("incoming-title").textContent = `${other} is calling`;
    avatar(other, $("incoming-avatar"));
    if (!$("incoming").open) $("incoming").showModal();
    ring.start();
  } else {
    $("incoming").close();
    ring.stop();
  }
}

/** What stands where the other's picture would be. */
function showCurtain() {
  const { state, other, call, theirs } = phone;
  const live = call?.remote.getVideoTracks().some(({ muted, readyState }) => !muted && readyState === "live");
  const picture = state === "talking" && live && theirs.camera;
  $("curtain").hidden = picture;
  $("remote").classList.toggle("dark", !picture);
  $("curtain-avatar").hidden = !other;
  $("curtain-icon").toggleAttribute("hidden", Boolean(other)); // an SVG element has no property for it
  if (other) avatar(other, $("curtain-avatar"));
  $("curtain-name").textContent = other ?? "";
  if (state === "talking" && phone.connected && !picture) {
    $("notice").textContent = theirs.camera ? "No picture comes yet." : "The camera is off.";
  } else if (state === "idle" && !$("notice").textContent) {
    $("notice").textContent = "Choose somebody to call.";
  }
}

function showDevices() {
  const { microphone, camera, stream } = devices;
  for (const [id, on, what] of [["microphone", microphone, "microphone"], ["camera", camera, "camera"]]) {
    const button = $(id);
    const label = `${on ? "Switch off" : "Switch on"} the ${what}`;
    button.setAttribute("aria-label", label);
    button.setAttribute("aria-pressed", String(!on));
    button.title = label;
  }
  if ($("local").srcObject !== stream) $("local").srcObject = stream;
  $("local").hidden = !camera;
  if (devices.problem) log.note(devices.problem);
  devices.problem = "";
}

function showState(what, state) {
  const id = `state-${what}`;
  const chip = $(id) ?? $("states").appendChild(make("span", { id }));
  chip.textContent = `${what}: ${state}`;
  chip.className = `chip ${GOOD.has(state) ? "good" : ""} ${BAD.has(state) ? "bad" : ""}`;
}

function showNote(ms, what, state) {
  const cells = [`${ms.toFixed(0)} ms`, what, state].map((textContent) => make("span", { textContent }));
  $("timeline").append(make("li", {}, ...cells));
  if (CHIPS.includes(what)) showState(what, state);
}

function showFacts(facts) {
  const pairs = Object.entries(facts).map(([title, value]) => [
    make("dt", { textContent: title }),
    make("dd", { textContent: value }),
  ]);
  $("facts").replaceChildren(...pairs.flat());
}

function begun({ detail: { call } }) {
  meter = new Meter();
  log.clear();
  for (const id of ["states", "facts", "timeline", "rows"]) $(id).replaceChildren();
  for (const what of CHIPS) showState(what, "new");
  $("remote").srcObject = call.remote;
  showDevices();
  call.addEventListener("note", ({ detail: { entry } }) => showNote(...entry));
  call.addEventListener("media", showCurtain);
  call.addEventListener("connection", async ({ detail: { state } }) => {
    showCurtain();
    if (state === "connected") showFacts(await call.summary());
  });
  call.addEventListener("chatopen", () => log.note("The chat is open."));
  call.addEventListener("chat", ({ detail: { text } }) => log.line(text, false));
  call.addEventListener("progress", ({ detail }) => log.progress(detail));
  call.addEventListener("transfer", ({ detail }) => log.transfer(detail));
  call.addEventListener("transferfailed", ({ detail }) => log.failed(detail));
}

function ended({ detail: { name, reason, seconds } }) {
  $("remote").srcObject = null;
  $("headline").textContent = $("clock").textContent = "";
  $("notice").textContent = ENDINGS[reason](name) + (seconds ? ` The call took ${clock(seconds)}.` : "");
  if (document.fullscreenElement) document.exitFullscreen();
}

async function everySecond() {
  const { call } = phone;
  if (!phone.connected || !call) return;
  $("clock").textContent = clock(phone.seconds);
  const figures = meter.read(await call.pc.getStats());
  if (phone.call !== call) return;
  $("headline").textContent = headline(figures);
  $("rows").replaceChildren(
    ...rows(figures).map(([title, ...values]) => {
      const cells = values.map((textContent) => make("td", { textContent }));
      return make("tr", {}, make("th", { scope: "row", textContent: title }), ...cells);
    }),
  );
}

// entering

async function enter(room, name) {
  $("problem").hidden = true;
  signaling = await Signaling.join(room, name);
  phone = new Phone(signaling, devices);
  signaling.addEventListener("members", showMembers);
  for (const event of ["online", "offline"]) signaling.addEventListener(event, showWho);
  phone.addEventListener("change", showPhone);
  phone.addEventListener("call", begun);
  phone.addEventListener("ended", ended);
  phone.addEventListener("trouble", ({ detail: { text } }) => {
    $("trouble").textContent = text;
    $("trouble").hidden = !text;
  });
  devices.addEventListener("change", showDevices);
  addEventListener("pagehide", () => phone.hangUp());
  setInterval(everySecond, 1000);
  showWho();
  showPhone();
  showDevices();
}

$("join").onsubmit = async (event) => {
  event.preventDefault();
  const { room, name } = Object.fromEntries(new FormData(event.target));
  try {
    await enter(room, name);
  } catch (error) {
    $("problem").textContent = error.message;
    $("problem").hidden = false;
  }
};
$("say").onsubmit = (event) => {
  event.preventDefault();
  const { text } = event.target.elements;
  if (!text.value || !phone.call?.canChat) return;
  phone.call.say(text.value);
  log.line(text.value, true);
  text.value = "";
};
$("file").onchange = ({ target }) => {
  const [file] = target.files;
  // a failure stands in the log
  if (file && phone.call) phone.call.sendFile(file.name, file).catch(() => {});
  target.value = "";
};
$("microphone").onclick = () => devices.setMicrophone(!devices.microphone);
$("camera").onclick = () => devices.setCamera(!devices.camera);
$("full").onclick = () => (document.fullscreenElement ? document.exitFullscreen() : $("stage").requestFullscreen());
$("hangup").onclick = $("cancel").onclick = () => phone.hangUp();
$("accept").onclick = () => phone.accept();
$("refuse").onclick = () => phone.refuse();
$("incoming").oncancel = (event) => {
  event.preventDefault();
  phone.refuse();
};
tabs(document.querySelector("[role=tablist]"));

const query = new URLSearchParams(location.search);
if (query.has("name")) {
  await enter(query.get("room") ?? "lobby", query.get("name"));
  if (query.has("script")) await runScript(phone, query);
}
