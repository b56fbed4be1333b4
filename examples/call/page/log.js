// What was said, and the files that went, in the order in which it happened.

import { make } from "./widgets.js";

const MAX_ROWS = 500;
const MAX_CHARACTERS = 4000; // of one line: the other side decides how long it is

export class Log {
  #list;
  #files = new Map(); // transfers that are on -> their rows

  constructor(list) {
    this.#list = list;
  }

  clear() {
    while (this.#list.firstChild) this.#remove();
    this.#files.clear();
  }

  /** A line of the chat. */
  line(text, mine) {
    this.#add(make("p", { textContent: text.slice(0, MAX_CHARACTERS), className: mine ? "mine" : "theirs" }));
  }

  /** Something that the page has to say. */
  note(text) {
    this.#add(make("p", { textContent: text, className: "note" }));
  }

  progress({ key, name, done, total }) {
    const row = this.#file(key, name);
    Object.assign(row.querySelector("progress"), { max: total || 1, value: done });
  }

  transfer({ key, transfer, sent }) {
    const row = this.#file(key, transfer.name);
    const megabytes = transfer.size / 1e6;
    const size = megabytes < 1 ? `${Math.ceil(transfer.size / 1000)} kB` : `${megabytes.toFixed(1)} MB`;
    const rate = `${(megabytes / transfer.seconds).toFixed(1)} MB/s`;
    const checked = transfer.verified === false ? "not checked" : "checked";
    const name = sent
      ? make("b", { textContent: transfer.name })
      : make("a", { textContent: transfer.name, href: URL.createObjectURL(transfer.blob), download: transfer.name });
    const text = `${sent ? "sent" : "received"}, ${size}, ${rate}, ${checked}`;
    row.replaceChildren(name, make("small", { textContent: text }));
    this.#done(key);
  }

  failed({ key, name }) {
    const row = this.#file(key, name);
    row.replaceChildren(make("b", { textContent: name }), make("small", { textContent: "not transferred" }));
    this.#done(key);
  }

  #done(key) {
    this.#files.delete(key);
    this.#list.scrollTop = this.#list.scrollHeight; // the row has changed its height
  }

  #file(key, name) {
    let row = this.#files.get(key);
    if (!row) {
      row = make("div", { className: "file" }, make("b", { textContent: name }), make("progress", { value: 0 }));
      row.querySelector("progress").setAttribute("aria-label", `transfer of ${name}`);
      this.#files.set(key, row);
      this.#add(row);
    }
    return row;
  }

  /** Take the oldest row away, and what its link held in memory. */
  #remove() {
    const row = this.#list.firstChild;
    const link = row.querySelector?.("a[href^='blob:']");
    if (link) URL.revokeObjectURL(link.href);
    row.remove();
  }

  #add(row) {
    this.#list.append(row);
    while (this.#list.children.length > MAX_ROWS) this.#remove();
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}
