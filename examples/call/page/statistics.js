// What getStats says, as the numbers that people ask for: rates from the difference to the time before.

const WAYS = { "inbound-rtp": "received", "outbound-rtp": "sent" };

export class Meter {
  #before = new Map();

  /**
   * Read a report. Gives {rttMs, availableKbps, received: {video, audio}, sent: {video, audio}}, where
   * each of the four has {codec, width, height, fps, kbps, loss, jitterMs}; what is not known is undefined.
   */
  read(report) {
    const result = { received: {}, sent: {} };
    const now = new Map();
    for (const stats of report.values()) {
      now.set(stats.id, stats);
      if (stats.type === "candidate-pair" && stats.nominated && stats.state === "succeeded") {
        result.rttMs = stats.currentRoundTripTime === undefined ? undefined : stats.currentRoundTripTime * 1000;
        if (stats.availableOutgoingBitrate) result.availableKbps = stats.availableOutgoingBitrate / 1000;
      }
      const way = WAYS[stats.type];
      if (way && (stats.kind === "audio" || stats.kind === "video")) {
        result[way][stats.kind] = this.#stream(stats, report, way);
      }
    }
    this.#before = now;
    return result;
  }

  #stream(stats, report, way) {
    const before = this.#before.get(stats.id);
    const since = (member) => (before ? (stats[member] ?? 0) - (before[member] ?? 0) : 0);
    const seconds = before ? (stats.timestamp - before.timestamp) / 1000 : 0;
    const far = report.get(stats.remoteId); // what the receiver of our packets reports
    const bytes = since(way === "sent" ? "bytesSent" : "bytesReceived");
    const lost = Math.max(since("packetsLost"), 0); // it falls when a late packet comes after all
    const loss = before && lost / Math.max(since("packetsReceived") + lost, 1);
    return {
      codec: report.get(stats.codecId)?.mimeType?.split("/")[1],
      width: stats.frameWidth,
      height: stats.frameHeight,
      fps: stats.framesPerSecond ?? (stats.kind === "video" ? 0 : undefined),
      kbps: seconds > 0 ? (8 * bytes) / seconds / 1000 : undefined,
      loss: way === "sent" ? far?.fractionLost : loss,
      jitterMs: 1000 * ((way === "sent" ? far?.jitter : stats.jitter) ?? NaN),
    };
  }
}

const whole = (value, unit) => (Number.isFinite(value) ? `${Math.round(value)} ${unit}` : "-");

/** Kilobits a second, for people. */
export const rate = (kbps) =>
  kbps === undefined ? "-" : kbps >= 1000 ? `${(kbps / 1000).toFixed(2)} Mbit/s` : `${kbps.toFixed(0)} kbit/s`;

/** The rows of the table of statistics: title, received, sent. */
export function rows(figures) {
  const { received, sent } = figures;
  const both = (kind, show) => [received[kind], sent[kind]].map((one) => (one ? show(one) : "-"));
  const percent = ({ loss }) => (loss === undefined ? "-" : `${(100 * loss).toFixed(1)} %`);
  return [
    ["Picture", ...both("video", ({ width, height }) => (width ? `${width} × ${height}` : "-"))],
    ["Frames per second", ...both("video", ({ fps }) => `${fps ?? 0}`)],
    ["Video bit rate", ...both("video", ({ kbps }) => rate(kbps))],
    ["Video loss", ...both("video", percent)],
    ["Video jitter", ...both("video", ({ jitterMs }) => whole(jitterMs, "ms"))],
    ["Video codec", ...both("video", ({ codec }) => codec ?? "-")],
    ["Audio bit rate", ...both("audio", ({ kbps }) => rate(kbps))],
    ["Audio loss", ...both("audio", percent)],
    ["Audio jitter", ...both("audio", ({ jitterMs }) => whole(jitterMs, "ms"))],
    ["Audio codec", ...both("audio", ({ codec }) => codec ?? "-")],
    ["Round-trip time", whole(figures.rttMs, "ms"), ""],
    ["Available to send", "", rate(figures.availableKbps)],
  ];
}

/** One line over the picture. */
export function headline({ received: { video }, rttMs }) {
  const parts = [];
  if (video?.width && video.kbps > 0) {
    parts.push(`${video.width} × ${video.height}`, `${video.fps} fps`, rate(video.kbps));
  }
  if (Number.isFinite(rttMs)) parts.push(`${Math.round(rttMs)} ms`);
  return parts.join(" · ");
}
