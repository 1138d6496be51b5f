// The effect of a stop reason on the reply's calls and on the later conversation.

/** The provider or a filter refused to reply. Matches parts of words, because each gateway has its own reasons. */
const REFUSED =
  /refus|filter|safety|guardrail|blocked|blocklist|^block|prohibit|moderat|sensitive|declin|denied|recitation|spii|policy|violat/i;

/** The reply ended early, or the provider failed while streaming. */
const CUT =
  /max|length|limit|exceed|trunc|incomplete|context_window|malformed|invalid|error|fail|cancel|abort|interrupt|time_?d?_?out|too_many|insufficient/i;

/** `other` includes unknown and missing reasons. Many gateways send `end_turn`, or nothing, after complete calls. */
export type KindOfStop = 'cut' | 'refused' | 'other';

export function kindOfStop(reason: string | null): KindOfStop {
  if (reason === null) return 'other';
  if (REFUSED.test(reason)) return 'refused';
  return CUT.test(reason) ? 'cut' : 'other';
}
