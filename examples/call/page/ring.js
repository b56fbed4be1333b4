// The sound of a call that comes in: two soft tones, every three seconds, until it is stopped.

export class Ring {
  #context = null;
  #timer = null;

  start() {
    if (this.#timer) return;
    this.#context ??= new AudioContext();
    this.#context.resume();
    this.#play();
    this.#timer = setInterval(() => this.#play(), 3000);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#context?.suspend();
  }

  #play() {
    const { currentTime, destination } = this.#context;
    for (const [frequency, delay] of [[659, 0], [523, 0.35]]) {
      const begin = currentTime + delay;
      const gain = new GainNode(this.#context, { gain: 0 });
      gain.gain.setTargetAtTime(0.12, begin, 0.02);
      gain.gain.setTargetAtTime(0, begin + 0.15, 0.08);
      const tone = new OscillatorNode(this.#context, { frequency });
      tone.connect(gain).connect(destination);
      tone.start(begin);
      tone.stop(begin + 1);
    }
  }
}
