// Who calls whom: one call at a time, from the invitation to its end.
//
//   idle -- dial() --> calling -- "accept" --> talking
//   idle -- "invite" --> ringing -- accept() --> talking
//   any of them -- hangUp(), "refuse", "bye", lost --> idle
//
// Events: "change" (the state, or something about the other side), "call" ({call}: it exists now),
// "trouble" ({text}, "" when it is over), "ended" ({name, reason, seconds}).

import { Call } from "./call.js";

const UNANSWERED_MS = 45_000;
const MAX_CALL_NUMBER = 64; // characters: every answer repeats it
const LOST_MS = 20_000; // how long an interrupted connection may take to come back

export class Phone extends EventTarget {
  state = "idle";
  other = null;
  call = null;
  theirs = { microphone: true, camera: true };
  #number = null;
  #offer = "caller";
  #ignored = null; // the number of an invitation that crossed ours
  #timer = null;
  #since = null;
  #inbox = Promise.resolve();

  constructor(signaling, devices) {
    super();
    this.signaling = signaling;
    this.devices = devices;
    signaling.addEventListener("signal", ({ detail: { from, data } }) => {
      // one message after the other: a candidate must find its description in place
      this.#inbox = this.#inbox.then(() => this.#signalled(from, data));
    });
    signaling.addEventListener("left", ({ detail: { name } }) => this.#left(name));
    devices.addEventListener("track", ({ detail: { kind, track } }) => this.call?.setTrack(kind, track));
    devices.addEventListener("change", () => this.#tellDevices());
  }

  /** Invite somebody; `offer` says who makes the offer once they have accepted. */
  async dial(name, offer = "caller") {
    if (this.state !== "idle") return;
    const number = crypto.getRandomValues(new Uint32Array(3)).join("-");
    this.#offer = offer;
    this.#enter("calling", name, number);
    this.#timer = setTimeout(() => this.#end("unanswered", { tell: "bye" }), UNANSWERED_MS);
    await this.devices.open();
    if (this.state === "calling" && this.#number === number) this.#signal({ type: "invite", offer });
  }

  /** Take the call that is ringing. */
  async accept() {
    if (this.state !== "ringing") return;
    const number = this.#number;
    this.#enter("talking");
    await this.devices.open();
    if (this.#number !== number) return; // the caller gave up meanwhile
    this.#signal({ type: "accept" });
    this.#begin(this.#offer === "callee");
  }

  /** Refuse it. */
  refuse() {
    if (this.state === "ringing") this.#end("declined", { tell: "refuse" });
  }

  /** End whatever there is. */
  hangUp() {
    if (this.state === "ringing") this.refuse();
    else if (this.state !== "idle") this.#end("hungup", { tell: "bye" });
  }

  /** Signal something of the call that is on. */
  signal(data) {
    this.#signal(data);
  }

  /** Whether the other side has been reached in this call. */
  get connected() {
    return this.#since !== null;
  }

  /** How long ago that was. */
  get seconds() {
    return this.connected ? (performance.now() - this.#since) / 1000 : 0;
  }

  async #signalled(from, data) {
    if (typeof data?.call !== "string" || data.call.length > MAX_CALL_NUMBER) return;
    if (data.type === "invite") {
      this.#invited(from, data);
    } else if (from === this.other && data.call === this.#number) {
      await this.#told(data);
    }
    // anything else belongs to a call that is over
  }

  #invited(from, { call: number, offer }) {
    if (from === this.other) {
      if (this.state === "calling") {
        // both call each other: the call of the one whose name is less stands
        if (this.signaling.name < from) {
          this.#ignored = number;
          return;
        }
        clearTimeout(this.#timer);
        this.#ring(from, number, offer);
        this.accept();
        return;
      }
      this.#end("gone"); // they begin anew, so they have forgotten the old call
    }
    if (this.state !== "idle") {
      this.signaling.signal(from, { type: "refuse", call: number, reason: "busy" });
      return;
    }
    this.#ring(from, number, offer);
  }

  #ring(from, number, offer) {
    this.#offer = offer === "callee" ? "callee" : "caller";
    this.#enter("ringing", from, number);
  }

  async #told(data) {
    if (data.type === "accept" && this.state === "calling") {
      clearTimeout(this.#timer);
      this.#enter("talking");
      this.#begin(this.#offer === "caller");
    } else if (data.type === "refuse") {
      this.#end(data.reason === "busy" ? "busy" : "refused");
    } else if (data.type === "bye") {
      this.#end(this.state === "ringing" ? "missed" : data.reason === "failed" ? "failed" : "bye");
    } else if (data.type === "devices") {
      this.theirs = { microphone: data.microphone !== false, camera: data.camera !== false };
      this.#tell("change");
    } else if (this.call) {
      const call = this.call;
      try {
        await call.receive(data);
      } catch (error) {
        if (this.call !== call) return; // hung up meanwhile
        console.warn(`${this.other}:`, error);
        this.#end("failed", { tell: "bye", reason: "failed" });
      }
    }
  }

  #begin(offering) {
    const { name, iceServers } = this.signaling;
    const call = new Call((data) => this.#signal(data), name > this.other, iceServers, this.devices.stream);
    this.call = call;
    call.addEventListener("connection", ({ detail: { state } }) => {
      if (this.call === call) this.#connection(state);
    });
    call.addEventListener("chatclose", () => {
      if (this.call === call && this.#away) this.#end("gone");
    });
    this.#tell("call", { call });
    this.#tellDevices();
    if (offering) call.begin();
  }

  get #away() {
    return this.signaling.online && !this.signaling.members.has(this.other);
  }

  #tellDevices() {
    if (this.state !== "talking" || !this.call) return;
    const { microphone, camera } = this.devices;
    this.#signal({ type: "devices", microphone, camera });
  }

  #connection(state) {
    if (state === "connected") {
      clearTimeout(this.#timer);
      this.#timer = null;
      this.#since ??= performance.now();
      this.#trouble("");
    } else if (state === "disconnected" || state === "failed") {
      if (this.#away) {
        this.#end("gone");
        return;
      }
      this.#trouble("The connection is interrupted; trying to get it back.");
      if (state === "failed") this.call.restart();
      this.#timer ??= setTimeout(() => this.#end("lost", { tell: "bye" }), LOST_MS);
    }
  }

  #left(name) {
    // a call that stands needs no server; it ends when its own connection does
    if (name === this.other && (!this.call || this.call.over)) this.#end("gone");
  }

  #enter(state, other = this.other, number = this.#number) {
    Object.assign(this, { state, other });
    this.#number = number;
    this.signaling.status(state !== "idle");
    this.#tell("change");
  }

  #end(reason, { tell, reason: told } = {}) {
    if (this.state === "idle") return;
    const { other: name, seconds } = this;
    clearTimeout(this.#timer);
    if (tell) this.#signal({ type: tell, reason: told ?? reason });
    if (this.#ignored) this.signaling.signal(name, { type: "refuse", call: this.#ignored, reason });
    this.call?.close();
    this.call = this.#timer = this.#ignored = null;
    this.#since = null;
    this.theirs = { microphone: true, camera: true };
    this.#enter("idle", null, null);
    this.devices.close();
    this.#trouble("");
    this.#tell("ended", { name, reason, seconds });
  }

  #signal(data) {
    if (this.other) this.signaling.signal(this.other, { ...data, call: this.#number });
  }

  #trouble(text) {
    this.#tell("trouble", { text });
  }

  #tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
