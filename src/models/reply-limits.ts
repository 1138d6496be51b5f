// What one answer of a model may hold. A broken or hostile gateway must not fill memory, log and rows.

/** Several times what any model writes in one reply. */
export const REPLY_CHARS_MAX = 4 * 1024 * 1024;

/** Content blocks. An answer with a dozen searches holds some hundred. */
export const BLOCKS_MAX = 1_000;

/** Calls of tools. A step runs far fewer: see `activities/tool-offer.ts`. */
export const CALLS_MAX = 256;

export const CITATIONS_MAX = 10_000;

/** JSON of blocks that only the provider knows is stored as it came, so JSON.stringify must be able to write it. */
export const BLOCK_DEPTH_MAX = 64;

/** Names of tools, models and stop reasons, and ids. The API itself takes 128 and 200. */
export const NAME_CHARS_MAX = 200;

/** A thousand times what any model takes: a higher number is a fault, and sums of such would fit no column. */
export const TOKENS_MAX = 1_000_000_000;

/** The beginning of an unreadable input, for whoever looks into the stored step. */
export const INVALID_INPUT_CHARS_MAX = 4_000;

/**
 * Longest time in which an answer says nothing but pings, empty pieces and unknown events. A model that does not show its
 * thoughts sends only pings while it thinks, and may think as long as its output tokens last.
 */
export const MEANING_TIMEOUT_MS = 30 * 60 * 1000;

/** An event whose shape is not the protocol's. The same translator would send it again. */
export class MalformedEventError extends Error {
  override readonly name: string = 'MalformedEventError';
}

/** An answer beyond a bound. The provider would exceed it again, and each try would be paid. */
export class ReplyBoundError extends MalformedEventError {
  override readonly name = 'ReplyBoundError';
}
