// A member of a room at the signalling server; the protocol is described in docs/call-app.md.
//
// Events: "members" (somebody came, went or changed), "entered" and "left" ({name}),
// "signal" ({from, data}), "offline" (the server is lost; it is tried again), "online".

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;
const MAX_MESSAGE_BYTES = 1 << 18; // the server ends the connection beyond it
const MAX_WAITING = 200; // messages kept while the server is lost

export class Signaling extends EventTarget {
  members = new Map(); // name -> whether busy
  iceServers = [];
  #socket = null;
  #token = null;
  #busy = false;
  #waiting = [];
  #retryMs = FIRST_RETRY_MS;

  /** Enter a room; rejects with the server's reason. */
  static async join(room, name) {
    const signaling = new Signaling();
    await signaling.#connect(room, name);
    return signaling;
  }

  /** Send an object to a member of the room; what is sent first arrives first. Throws if it is too long. */
  signal(to, data) {
    const { length } = new TextEncoder().encode(JSON.stringify({ type: "signal", to, data }));
    if (length > MAX_MESSAGE_BYTES) throw new RangeError(`a message of ${length} bytes`);
    this.#send({ type: "signal", to, data });
  }

  /** Tell the others whether we are in a call. */
  status(busy) {
    if (busy === this.#busy) return;
    this.#busy = busy;
    this.#send({ type: "status", busy });
  }

  get online() {
    return this.#socket !== null;
  }

  #connect(room, name) {
    const address = new URL("signaling", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    return new Promise((resolve, reject) => {
      socket.onopen = () => socket.send(JSON.stringify({ type: "join", room, name, token: this.#token ?? undefined }));
      socket.onclose = () => reject(new Error("The server cannot be reached."));
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "joined") {
          this.#joined(socket, message);
          resolve();
        } else {
          socket.close();
          reject(new Error(message.reason));
        }
      };
    });
  }

  #joined(socket, { name, room, members, busy, token, iceServers }) {
    const before = [...this.members.keys()];
    Object.assign(this, { name, room, iceServers });
    this.members = new Map(members.map((member) => [member, busy.includes(member)]));
    this.#socket = socket;
    this.#token = token;
    this.#retryMs = FIRST_RETRY_MS;
    socket.onmessage = ({ data }) => this.#received(JSON.parse(data));
    socket.onclose = () => this.#lost();
    this.#send({ type: "status", busy: this.#busy });
    for (const message of this.#waiting.splice(0)) this.#send(message);
    // whoever came or went while we were away
    for (const member of before.filter((one) => !this.members.has(one))) this.#tell("left", { name: member });
    for (const member of members.filter((one) => !before.includes(one))) this.#tell("entered", { name: member });
    this.#tell("members");
  }

  #lost() {
    this.#socket = null;
    this.#tell("offline");
    const retry = async () => {
      try {
        await this.#connect(this.room, this.name);
        this.#tell("online");
      } catch {
        this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
        setTimeout(retry, this.#retryMs);
      }
    };
    setTimeout(retry, this.#retryMs);
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
    else if (message.type === "signal" && this.#waiting.length < MAX_WAITING) this.#waiting.push(message);
  }

  #received(message) {
    const { type, name } = message;
    if (type === "entered") this.members.set(name, false);
    if (type === "left") this.members.delete(name);
    if (type === "status") this.members.set(name, message.busy);
    this.#tell(type, message);
    if (["entered", "left", "status"].includes(type)) this.#tell("members");
  }

  #tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
