// What a page sends and how it looks at what arrives. The pictures and tones are those of media.py,
// which says what they are and what is made of thumbnails and samples.

const CELLS = 16;
const THUMB = [64, 48];
const SQUARE = 16;

const toBase64 = (bytes) => {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  }
  return btoa(text);
};

const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let sharedContext = null;

const audioContext = () => {
  sharedContext ??= new AudioContext({ sampleRate: 48000 });
  return sharedContext;
};

const codeOf = (number) => {
  number &= 0xfff;
  return (number << 4) | (((number >> 8) ^ (number >> 4) ^ number ^ 0b1010) & 0xf);
};

const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;

// A canvas that is painted at its frame rate, as a track.
const cardTrack = ({ colours, width, height, frame_rate: frameRate, squares }) => {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  document.body.prepend(canvas);
  const context = canvas.getContext("2d", { alpha: false });
  const top = height - Math.floor(height / 6);
  const middle = [width / 2, Math.floor(top / 2)];
  const paint = (number) => {
    colours.forEach((colour, i) => {
      const [right, lower] = [i % 2, i >> 1];
      context.fillStyle = css(colour);
      context.fillRect(right * middle[0], lower * middle[1], middle[0], lower ? top - middle[1] : middle[1]);
    });
    for (let i = 0; i < squares; i++) {
      const grey = (i * 37) % 220;
      context.fillStyle = css([grey, grey, grey]);
      const left = (i * 97 + number * ((i % 7) + 1) * 3) % (width - SQUARE);
      context.fillRect(left, (i * 57 + number * ((i % 5) + 1) * 2) % (top - SQUARE), SQUARE, SQUARE);
    }
    const code = codeOf(number);
    for (let i = 0; i < CELLS; i++) {
      const [left, right] = [i, i + 1].map((cell) => Math.floor((cell * width) / CELLS));
      context.fillStyle = (code >> (CELLS - 1 - i)) & 1 ? "white" : "black";
      context.fillRect(left, top, right - left, height - top);
    }
  };
  paint(0);
  const [track] = canvas.captureStream(frameRate * 2).getVideoTracks();
  // the number is the time: a timer that is late leaves one out, and the pace stays
  const began = performance.now();
  let last = 0;
  const timer = setInterval(() => {
    const number = Math.floor(((performance.now() - began) * frameRate) / 1000);
    if (number === last) return;
    last = number;
    paint(number);
  }, 500 / frameRate);
  const release = () => {
    clearInterval(timer);
    track.stop();
    canvas.remove();
  };
  return { track, release };
};

const toneTrack = ({ frequency_hz: frequency, level }) => {
  const context = audioContext();
  const oscillator = new OscillatorNode(context, { frequency });
  const gain = new GainNode(context, { gain: level });
  const destination = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
  oscillator.connect(gain).connect(destination);
  oscillator.start();
  const [track] = destination.stream.getAudioTracks();
  const release = () => {
    oscillator.stop();
    track.stop();
  };
  return { track, release };
};

// Begin to send a card or a tone: { track, release }.
export const makeTrack = (source) => (source.kind === "video" ? cardTrack(source) : toneTrack(source));

// Plays a track, so that it can be looked at or listened to.
export class Player {
  #analyser = null;

  constructor(track) {
    this.track = track;
    const element = document.createElement(track.kind);
    element.muted = true;
    element.playsInline = true;
    element.srcObject = new MediaStream([track]);
    document.body.prepend(element);
    this.element = element;
    element.play().catch(() => {});
    if (track.kind === "audio") {
      const context = audioContext();
      this.#analyser = new AnalyserNode(context, { fftSize: 16384 });
      this.source = new MediaStreamAudioSourceNode(context, { mediaStream: element.srcObject });
      this.source.connect(this.#analyser);
      // a silent way out: what leads nowhere is not computed everywhere
      this.#analyser.connect(new GainNode(context, { gain: 0 })).connect(context.destination);
    } else {
      this.canvas = document.createElement("canvas");
      [this.canvas.width, this.canvas.height] = THUMB;
      this.context = this.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    }
  }

  async look(pictures, timeoutS) {
    const video = this.element;
    const result = { width: 0, height: 0, times: [], thumbs: [] };
    let done;
    const full = new Promise((resolve) => (done = resolve));
    const take = (now) => {
      if (done === null) return;
      this.context.drawImage(video, 0, 0, ...THUMB);
      const { data } = this.context.getImageData(0, 0, ...THUMB);
      const thumb = new Uint8Array((data.length / 4) * 3);
      for (let from = 0, to = 0; from < data.length; from += 4) {
        thumb[to++] = data[from];
        thumb[to++] = data[from + 1];
        thumb[to++] = data[from + 2];
      }
      result.width = video.videoWidth;
      result.height = video.videoHeight;
      result.times.push(now / 1000);
      result.thumbs.push(toBase64(thumb));
      if (result.thumbs.length >= pictures) done();
      else video.requestVideoFrameCallback(take);
    };
    video.requestVideoFrameCallback(take);
    await Promise.race([full, after(timeoutS * 1000)]);
    done = null;
    return result;
  }

  async listen(durationS) {
    const context = audioContext();
    if (context.state !== "running") await Promise.race([context.resume(), after(5000)]);
    if (context.state !== "running") throw new Error("no sound card");
    // what the analyser holds must all have come after the call
    await after(1000 * Math.min(durationS, this.#analyser.fftSize / context.sampleRate) + 50);
    const wave = new Float32Array(this.#analyser.fftSize);
    this.#analyser.getFloatTimeDomainData(wave);
    const latest = wave.subarray(-Math.round(durationS * context.sampleRate));
    const samples = Int16Array.from(latest, (value) => Math.round(32767 * Math.max(-1, Math.min(1, value))));
    return { rate: context.sampleRate, samples: toBase64(new Uint8Array(samples.buffer)) };
  }

  release() {
    this.source?.disconnect();
    this.element.srcObject = null;
    this.element.remove();
  }
}

export const capabilities = (kind) => {
  const names = (side) => side.getCapabilities(kind).codecs.map(({ mimeType }) => mimeType.split("/")[1].toUpperCase());
  const receives = new Set(names(RTCRtpReceiver));
  return [...new Set(names(RTCRtpSender))].filter((name) => receives.has(name));
};

export class Transceiver {
  #sent = null;
  #player = null;

  constructor(transceiver) {
    this.transceiver = transceiver;
  }

  sends(made) {
    this.#sent?.release();
    this.#sent = made;
  }

  info() {
    const { mid, direction, currentDirection, receiver } = this.transceiver;
    return { mid, kind: receiver.track.kind, direction, currentDirection };
  }

  prefer(...names) {
    const wanted = ["RTX", ...names.map((name) => name.toUpperCase())];
    const { codecs } = RTCRtpReceiver.getCapabilities(this.transceiver.receiver.track.kind);
    const chosen = codecs.filter(({ mimeType }) => wanted.includes(mimeType.split("/")[1].toUpperCase()));
    // retransmission stands behind what it retransmits
    chosen.sort((a, b) => a.mimeType.endsWith("/rtx") - b.mimeType.endsWith("/rtx"));
    this.transceiver.setCodecPreferences(chosen);
  }

  async replace(source) {
    const made = source && makeTrack(source);
    await this.transceiver.sender.replaceTrack(made && made.track);
    this.sends(made);
  }

  enable(enabled) {
    this.transceiver.sender.track.enabled = enabled;
  }

  async encode(changes) {
    const { sender } = this.transceiver;
    const parameters = sender.getParameters();
    Object.assign(parameters.encodings[0], changes);
    await sender.setParameters(parameters);
  }

  async stats() {
    const { sender, receiver } = this.transceiver;
    const reports = await Promise.all([sender.getStats(), receiver.getStats()]);
    const found = new Map(reports.flatMap((report) => [...report]));
    return [...found.values()];
  }

  turn(direction) {
    this.transceiver.direction = direction;
  }

  stop() {
    this.transceiver.stop();
  }

  #play() {
    const { track } = this.transceiver.receiver;
    if (this.#player?.track !== track) {
      this.#player?.release();
      this.#player = new Player(track);
    }
    return this.#player;
  }

  look(pictures, timeoutS) {
    return this.#play().look(pictures, timeoutS);
  }

  listen(durationS) {
    return this.#play().listen(durationS);
  }

  release() {
    this.#sent?.release();
    this.#player?.release();
  }
}
