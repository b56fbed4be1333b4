// The camera and the microphone: on during a call, off (and their lights out) at any other time.
//
// Events: "track" ({kind, track}; null when there is none any more), "change".

const WANTED = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  video: { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" },
};

export class Devices extends EventTarget {
  stream = new MediaStream();
  problem = ""; // why there is no camera or microphone, for people
  #wanted = false;

  /** Switch on what there is. Never rejects: without devices a call can still be heard and seen. */
  async open() {
    this.#wanted = true;
    this.problem = "";
    if (!navigator.mediaDevices) {
      this.problem = "Browsers open camera and microphone for pages from localhost or over HTTPS only.";
      return;
    }
    let tracks = [];
    try {
      tracks = await this.#ask("audio", "video");
    } catch (error) {
      if (error.name === "NotAllowedError") {
        this.problem = "This page may not use camera and microphone; you can still see and hear the others.";
      } else {
        // one of the two is missing or taken: ask for each by itself
        const each = await Promise.allSettled([this.#ask("audio"), this.#ask("video")]);
        tracks = each.flatMap(({ value }) => value ?? []);
        const missing = ["microphone", "camera"].filter((_, index) => each[index].status === "rejected");
        this.problem = `No ${missing.join(" and no ")} could be opened.`;
      }
    }
    for (const track of tracks) this.#add(track);
  }

  /** Switch everything off. */
  close() {
    this.#wanted = false;
    for (const track of this.stream.getTracks()) this.#remove(track);
  }

  get microphone() {
    return this.stream.getAudioTracks().some(({ enabled }) => enabled);
  }

  get camera() {
    return this.stream.getVideoTracks().length > 0;
  }

  /** Mute or unmute. */
  async setMicrophone(on) {
    const [track] = this.stream.getAudioTracks();
    if (track) track.enabled = on;
    else if (on) await this.#reopen("audio");
    this.#tell("change");
  }

  /** Switch the camera itself off, not only its picture. */
  async setCamera(on) {
    const [track] = this.stream.getVideoTracks();
    if (track && !on) this.#remove(track);
    else if (!track && on) await this.#reopen("video");
    this.#tell("change");
  }

  async #ask(...kinds) {
    const constraints = Object.fromEntries(kinds.map((kind) => [kind, WANTED[kind]]));
    return (await navigator.mediaDevices.getUserMedia(constraints)).getTracks();
  }

  async #reopen(kind) {
    this.problem = "";
    try {
      for (const track of await this.#ask(kind)) this.#add(track);
    } catch (error) {
      this.problem = `The ${kind === "audio" ? "microphone" : "camera"} could not be opened: ${error.message}`;
    }
  }

  #add(track) {
    if (!this.#wanted || this.stream.getTracks().some(({ kind }) => kind === track.kind)) {
      track.stop(); // the call ended, or somebody clicked twice, while the browser asked
      return;
    }
    track.onended = () => this.#remove(track); // unplugged
    this.stream.addTrack(track);
    this.#tell("track", { kind: track.kind, track });
    this.#tell("change");
  }

  #remove(track) {
    track.onended = null;
    track.stop();
    this.stream.removeTrack(track);
    this.#tell("track", { kind: track.kind, track: null });
    this.#tell("change");
  }

  #tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
