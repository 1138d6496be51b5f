// Limits the memory a provider's response can take, before the SDK sees the response. The SDK buffers a whole error body, and
// each event up to its end.
import type { Dispatcher } from 'undici';

/** Error responses are a few lines of JSON, and proxies' pages are hardly longer. Only the beginning is kept anyway. */
const ERROR_BYTES_MAX = 1024 * 1024;

/** The longest events hold a picture or search results. A response without any line end counts as one event. */
export const EVENT_BYTES_MAX = 8 * 1024 * 1024;

/** Far more than the longest reply sent letter by letter. Bounds the work for endless pings and comments. */
const ANSWER_BYTES_MAX = 512 * 1024 * 1024;

/** The `code` of the errors that end such a response. The SDK passes on neither the class nor the message of a cause. */
export const ANSWER_UNBEARABLE = 'ANSWER_UNBEARABLE';

const unbearable = (message: string): Error => Object.assign(new Error(message), { code: ANSWER_UNBEARABLE });

export const tooLong = (bytesMax: number): Error =>
  unbearable(`more than ${bytesMax} bytes of its answer are one piece`);

const LINE_ENDS = ['\n\n', '\r\n\r\n', '\r\r'];
const isLineEnd = (byte: number | undefined): boolean => byte === 0x0a || byte === 0x0d;

/** Counts the bytes since the end of the last event. */
function createEventMeter() {
  let bytes = 0;
  let wasLineEnd = false;
  return (chunk: Buffer): number => {
    const end = Math.max(...LINE_ENDS.map((lineEnd) => chunk.lastIndexOf(lineEnd)));
    // An event end split over two chunks counts from the second chunk. Miscounting a single line end is harmless.
    const isSplit = wasLineEnd && isLineEnd(chunk[0]);
    bytes = end >= 0 ? chunk.length - end : chunk.length + (isSplit ? 0 : bytes);
    wasLineEnd = isLineEnd(chunk.at(-1));
    return bytes;
  };
}

function createErrorMeter() {
  let bytes = 0;
  return (chunk: Buffer): number => {
    bytes += chunk.length;
    return bytes;
  };
}

type Handler = Dispatcher.DispatchHandler;

function bounded(inner: Handler): Handler {
  let meter = createEventMeter();
  let bytesMax = EVENT_BYTES_MAX;
  let answerBytes = 0;
  return {
    onRequestStart: (...args) => inner.onRequestStart?.(...args),
    onRequestUpgrade: (...args) => inner.onRequestUpgrade?.(...args),
    onResponseStart(controller, status, headers, ...rest) {
      const encoding = String(headers['content-encoding'] || 'identity').toLowerCase();
      // The request asked for no compression. A few compressed bytes could expand to gigabytes of text.
      if (encoding !== 'identity')
        return controller.abort(unbearable(`its answer is compressed (${encoding})`));
      if (status >= 300) {
        meter = createErrorMeter();
        bytesMax = ERROR_BYTES_MAX;
      }
      inner.onResponseStart?.(controller, status, headers, ...rest);
    },
    onResponseData(controller, chunk) {
      answerBytes += chunk.length;
      if (answerBytes > ANSWER_BYTES_MAX)
        return controller.abort(unbearable(`its answer is longer than ${ANSWER_BYTES_MAX} bytes`));
      if (meter(chunk) > bytesMax) return controller.abort(tooLong(bytesMax));
      inner.onResponseData?.(controller, chunk);
    },
    onResponseEnd: (...args) => inner.onResponseEnd?.(...args),
    onResponseError: (...args) => inner.onResponseError?.(...args),
  };
}

/** For `agent.compose`. */
export const boundAnswers: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
  dispatch(options, bounded(handler));
