// A member of a room at the signalling server; the protocol is described in server.py.

export class Signaling extends EventTarget {
  /** Enter a room; rejects with the server's reason. */
  static join(room, name) {
    const address = new URL("signaling", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    return new Promise((resolve, reject) => {
      socket.onopen = () => socket.send(JSON.stringify({ type: "join", room, name }));
      socket.onerror = () => reject(new Error("the server cannot be reached"));
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "joined") resolve(new Signaling(socket, message));
        else reject(new Error(message.reason));
      };
    });
  }

  constructor(socket, { name, room, members }) {
    super();
    this.name = name;
    this.room = room;
    this.members = new Set(members);
    this.socket = socket;
    socket.onmessage = ({ data }) => this.#received(JSON.parse(data));
    socket.onclose = () => this.dispatchEvent(new Event("close"));
  }

  /** Send an object to a member of the room. */
  signal(to, data) {
    this.socket.send(JSON.stringify({ type: "signal", to, data }));
  }

  #received(message) {
    if (message.type === "entered") this.members.add(message.name);
    if (message.type === "left") this.members.delete(message.name);
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
  }
}
