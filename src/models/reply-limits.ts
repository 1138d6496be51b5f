// Bounds for one reply of a model. A broken or hostile gateway must not fill memory, log and rows.

/** Several times the longest reply of any model. */
export const REPLY_CHARS_MAX = 4 * 1024 * 1024;

/** Content blocks. A reply with a dozen searches has some hundred. */
export const BLOCKS_MAX = 1_000;

/** Tool calls. A step runs far fewer, see `activities/tool-offer.ts`. */
export const CALLS_MAX = 256;

export const CITATIONS_MAX = 10_000;

/** Blocks known only to the provider are stored unchanged, so JSON.stringify must be able to write them. */
export const BLOCK_DEPTH_MAX = 64;

/** Names of tools, models and stop reasons, and ids. The API itself takes 128 and 200. */
export const NAME_CHARS_MAX = 200;

/** A thousand times any model's limit. A higher number is an error, and sums would overflow their columns. */
export const TOKENS_MAX = 1_000_000_000;

/** The beginning of an unreadable input, for debugging the stored step. */
export const INVALID_INPUT_CHARS_MAX = 4_000;

/**
 * Longest time with nothing but pings, empty pieces and unknown events. A model that hides its thinking sends only pings
 * meanwhile, and may think until its output tokens run out.
 */
export const MEANING_TIMEOUT_MS = 30 * 60 * 1000;

/** An event that breaks the protocol. The same gateway would send it again. */
export class MalformedEventError extends Error {
  override readonly name: string = 'MalformedEventError';
}

/** A reply beyond a bound. The provider would exceed the bound again, and each attempt would cost money. */
export class ReplyBoundError extends MalformedEventError {
  override readonly name = 'ReplyBoundError';
}
