// The session's state and its transitions: pure functions without Temporal, so plain tests can run them.
import type {
  ConfigureSignal,
  EndReason,
  MessageSignal,
  ModelStepResult,
  PendingCall,
  PendingMessage,
  RunningTurn,
  SessionSnapshot,
  SessionState,
} from './protocol.ts';

/** Remembered message ids, to ignore duplicate signals. The rows catch older duplicates. */
export const HANDLED_MAX = 200;
/** Remembered interrupts. An interrupt that came too late for its reply stays unused until newer ones replace it. */
export const INTERRUPTS_MAX = 100;
/** Turns listed in the Temporal UI. */
export const OUTLINE_MAX = 20;
/** Tool names per line, of at most 64 characters each. Temporal refuses a summary of more than 400 bytes. */
const NAMES_MAX = 3;

const inOrder = (queue: PendingMessage[]): PendingMessage[] =>
  [...queue].sort((a, b) => a.position - b.position);

/** The state of a run that starts from the store alone. */
export function rebuild(snapshot: SessionSnapshot): SessionState {
  return {
    head: snapshot.head,
    running: snapshot.open,
    queue: inOrder(snapshot.queue),
    ended: snapshot.ended,
    expiresAtMs: snapshot.expiresAtMs,
    model: snapshot.model,
    account: snapshot.account,
    turns: 0,
    handled: [],
    interrupts: [],
    outline: [],
  };
}

const isKnown = (state: SessionState, messageId: string): boolean =>
  state.running?.messageId === messageId ||
  state.queue.some((message) => message.messageId === messageId) ||
  state.handled.includes(messageId);

export function interruptAsked(state: SessionState, replyId: string): SessionState {
  if (state.interrupts.includes(replyId)) return state;
  return { ...state, interrupts: [...state.interrupts, replyId].slice(-INTERRUPTS_MAX) };
}

export function messageArrived(before: SessionState, signal: MessageSignal): SessionState {
  const state = signal.interrupts === undefined ? before : interruptAsked(before, signal.interrupts);
  if (state.ended || isKnown(state, signal.messageId)) return state;
  const { messageId, replyId, position, preview } = signal;
  return {
    ...state,
    queue: inOrder([...state.queue, { messageId, replyId, position, preview }]),
    // The deadline set at acceptance doesn't apply while a turn runs.
    expiresAtMs: state.running ? state.expiresAtMs : signal.expiresAtMs,
  };
}

export const configured = (state: SessionState, signal: ConfigureSignal): SessionState => ({
  ...state,
  model: signal.model,
  expiresAtMs: state.running ? state.expiresAtMs : signal.expiresAtMs,
});

export const hasEnded = (state: SessionState, reason: EndReason): SessionState => ({
  ...state,
  ended: state.ended ?? reason,
  queue: [],
  expiresAtMs: null,
});

/** Takes the next message off the queue. Returns the state unchanged when a turn is running or the queue is empty. */
export function turnStarted(state: SessionState): SessionState {
  const [next, ...queue] = state.queue;
  if (state.running || !next) return state;
  return { ...state, running: { ...next, step: 1 }, queue, expiresAtMs: null };
}

const remember = (ids: string[], ...more: string[]): string[] =>
  [...new Set([...ids, ...more])].slice(-HANDLED_MAX);

const shorten = (lines: string[]): string[] => lines.slice(-OUTLINE_MAX);

const SIGNS = { completed: '', interrupted: ' (interrupted)', failed: ' (failed)' } as const;

/** One turn as text. When previews are off, ids replace the texts. */
function inWords(
  turn: RunningTurn,
  result: Extract<ModelStepResult, { kind: 'settled' }>,
  n: number,
): string {
  const question = turn.preview === '' ? turn.messageId : turn.preview;
  const answer = result.preview === '' ? result.replyId : result.preview;
  // Not a numbered list: Markdown would renumber the shown turns.
  return `- **turn ${n}** · **user** ${question}  \n  **assistant**${SIGNS[result.status]} ${answer}`;
}

/** The store put another message first. With `again`, the postponed message returns to the queue. */
function turnPutOff(
  state: SessionState,
  turn: RunningTurn,
  { message, again }: Extract<ModelStepResult, { kind: 'instead' }>,
): SessionState {
  const { messageId, replyId, position, preview } = turn;
  const others = state.queue.filter((each) => each.messageId !== message.messageId);
  const back = again && message.messageId !== messageId ? [{ messageId, replyId, position, preview }] : [];
  const handled = again ? state.handled : remember(state.handled, messageId);
  return { ...state, running: null, queue: inOrder([message, ...others, ...back]), handled };
}

/** Remembered results, more than one step produces. */
export const EARLY_RESULTS_MAX = 500;

/**
 * A result arrived, perhaps for a call unknown to this workflow. The id is kept until the store's next report of open
 * calls, because that report may be older than the result.
 */
export function resultArrived(state: SessionState, callId: string): SessionState {
  const { running } = state;
  if (!running || state.results?.includes(callId)) return state;
  const results = [...(state.results ?? []), callId].slice(-EARLY_RESULTS_MAX);
  const calls = running.calls?.filter((call) => call.callId !== callId);
  return { ...state, running: { ...running, ...(calls ? { calls } : {}) }, results };
}

/** A step is complete. The turn waits for the results of its calls. */
export function toolsCalled(
  state: SessionState,
  { step, calls }: Extract<ModelStepResult, { kind: 'tools' }>,
): SessionState {
  const { running } = state;
  if (!running) return state;
  const missing = calls.filter(({ callId }) => !state.results?.includes(callId));
  return { ...state, running: { ...running, step, calls: missing }, results: [] };
}

/** Every call has its result. */
export function nextStep(state: SessionState): SessionState {
  if (!state.running) return state;
  const { calls: _answered, ...running } = state.running;
  return { ...state, running: { ...running, step: running.step + 1 } };
}

/** The running turn is over or postponed. */
export function turnFinished(state: SessionState, result: ModelStepResult): SessionState {
  const turn = state.running;
  if (!turn || result.kind === 'tools') return state;
  if (result.kind === 'instead') return turnPutOff(state, turn, result);
  const handled = remember(state.handled, turn.messageId);
  if (result.kind === 'gone') return { ...state, running: null, handled };
  const turns = state.turns + 1;
  return {
    ...state,
    running: null,
    head: result.head,
    interrupts: state.interrupts.filter((replyId) => replyId !== turn.replyId),
    expiresAtMs: result.expiresAtMs,
    turns,
    handled,
    outline: shorten([...state.outline, inWords(turn, result, turns)]),
  };
}

/** The part that the store can rebuild. A test compares this part with the carried state at every wait. */
export const rebuildable = ({ head, running, queue, ended, expiresAtMs }: SessionState) => ({
  head,
  running,
  queue,
  ended,
  expiresAtMs,
});

/** Distinct tool names in one line. */
export function namesOf(calls: PendingCall[]): string {
  const names = [...new Set(calls.map(({ name }) => name))];
  const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : '';
  return names.slice(0, NAMES_MAX).join(', ') + more;
}

/** Calls of the current step that have no result yet. */
export const missing = ({ running }: SessionState): PendingCall[] => running?.calls ?? [];

function phaseInWords(state: SessionState): string {
  if (state.ended) return `ended (${state.ended})`;
  if (!state.running) return 'idle';
  return missing(state).length > 0 ? `waiting for ${namesOf(missing(state))}` : 'answering';
}

const instant = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`;

/** The missing result: its source, its start and its deadline. */
function missingInWords({ name, callId, sinceMs, expiresAtMs, isBuiltIn }: PendingCall): string {
  const from = isBuiltIn ? 'a worker of this server' : 'the client';
  const since = sinceMs === undefined ? '' : `, since ${instant(sinceMs)}`;
  const limit = isBuiltIn ? '' : ', without a time limit';
  const until = expiresAtMs === null ? limit : `, until ${instant(expiresAtMs)}`;
  return `- result of **${name}** (${callId}) from ${from}${since}${until}`;
}

/** Markdown for the Temporal UI: the session's facts and its last turns. */
export function currentDetails(state: SessionState): string {
  const queued = state.queue.map((message) => `- queued: ${message.preview || message.messageId}`);
  const now = state.running ? [`- answering: ${state.running.preview || state.running.messageId}`] : [];
  const turns = `${state.turns} ${state.turns === 1 ? 'turn' : 'turns'}`;
  const facts = `**${phaseInWords(state)}** · model ${state.model} · ${turns} · ${state.queue.length} queued`;
  const results = missing(state).slice(0, OUTLINE_MAX).map(missingInWords);
  const rest = [...now, ...results, ...queued.slice(0, OUTLINE_MAX)];
  // Markdown needs an empty line before and after a list.
  return [facts, rest.join('\n'), state.outline.join('\n')].filter((part) => part !== '').join('\n\n');
}
