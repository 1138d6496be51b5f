// What a stop reason means for the calls of its answer.

/**
 * The answer was cut off (`max_tokens`, `model_context_window_exceeded`, `length`) or refused (`refusal`, `content_filter`): a
 * call that looks whole may lack what was to come beside it. By parts of words, because each gateway has its own.
 */
const NO_CALLS =
  /max|length|limit|exceed|trunc|incomplete|refus|filter|safety|guardrail|block|prohibit|moderat/i;

/** True for unknown reasons and without any: many gateways say `end_turn`, or nothing, after calls that are whole. */
export const mayCall = (stopReason: string | null): boolean =>
  stopReason === null || !NO_CALLS.test(stopReason);
