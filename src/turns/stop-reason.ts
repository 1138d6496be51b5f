// What a stop reason means for the calls of its answer and for the later conversation.

/** The provider or a filter refused the answer. Matched by parts of words, because each gateway has its own reasons. */
const REFUSED =
  /refus|filter|safety|guardrail|blocked|blocklist|^block|prohibit|moderat|sensitive|declin|denied|recitation|spii|policy|violat/i;

/** The answer ended early, or the provider failed while it wrote. */
const CUT =
  /max|length|limit|exceed|trunc|incomplete|context_window|malformed|invalid|error|fail|cancel|abort|interrupt|time_?d?_?out|too_many|insufficient/i;

/** `other` includes unknown reasons and none: many gateways send `end_turn`, or nothing, after whole calls. */
export type KindOfStop = 'cut' | 'refused' | 'other';

export function kindOfStop(reason: string | null): KindOfStop {
  if (reason === null) return 'other';
  if (REFUSED.test(reason)) return 'refused';
  return CUT.test(reason) ? 'cut' : 'other';
}
