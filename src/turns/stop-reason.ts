// What a stop reason means for the calls of its answer.

/**
 * The answer was cut off or refused: a call that looks whole may lack what was to come beside it. The API's own words, and
 * those of the protocols that gateways translate.
 */
const NO_CALLS: ReadonlySet<string> = new Set([
  ...['max_tokens', 'model_context_window_exceeded', 'max_output_tokens', 'length', 'model_length'],
  ...['refusal', 'content_filter', 'content_filtered', 'safety', 'guardrail_intervened'],
]);

/** True for unknown reasons and without any: many gateways say `end_turn`, or nothing, after calls that are whole. */
export const mayCall = (stopReason: string | null): boolean =>
  stopReason === null || !NO_CALLS.has(stopReason.toLowerCase());
