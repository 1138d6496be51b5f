// What the API promises of sessions and their turns, as plain data: the model that a random run is held against.
// A turn is quick or held: a held one is never answered, so that its end is certain; a quick one may be over or not at
// any moment, and what an answer shows of it is taken in, if it is possible. One that calls the client's tool is held until
// each call has its result; one whose tool has little time ends by itself, but nobody waits behind it.

export type Ending = 'completed' | 'interrupted' | 'failed';

export interface Turn {
  content: string;
  isHeld: boolean;
  replyId: string;
  /** Results of its calls that have been taken, in the order of the calls; without it nothing is called. */
  results?: string[];
  /** Its call is answered by nobody, and runs out of time. */
  runsOut?: boolean;
  /** Null while nothing has shown it. */
  ended: Ending | null;
}

export interface ModelSession {
  id: string;
  status: 'active' | 'completed' | 'archived' | 'deleted';
  endedReason: 'completed' | 'archived' | null;
  metadata: Record<string, string>;
  turns: Turn[];
  /** Names of its tools, each with what was last said of it. */
  tools: Map<string, string>;
}

export interface Model {
  sessions: ModelSession[];
}

export const newSession = (
  id: string,
  metadata: Record<string, string>,
  tools: { name: string; description: string }[],
): ModelSession => ({
  id,
  status: 'active',
  endedReason: null,
  metadata,
  turns: [],
  tools: new Map(tools.map(({ name, description }) => [name, description])),
});

export const isEnded = ({ status }: ModelSession): boolean => status !== 'active';
const open = ({ turns }: ModelSession): Turn[] => turns.filter(({ ended }) => ended === null);
/** Whether a turn stands in the way of every later one. */
export const isHeld = (session: ModelSession): boolean => open(session).some((turn) => turn.isHeld);

/** Whether one who waits for an answer might be told, instead, that a result is missing. */
export const mayWait = (session: ModelSession): boolean =>
  isHeld(session) || open(session).some(({ runsOut }) => runsOut);

/** Calls of a turn; a turn goes on when each has its result. */
export const CALLS = 2;

/** The turn that waits for the client, as soon as those before it are over. */
export function waitingTurn(session: ModelSession): Turn | undefined {
  const held = open(session).find((turn) => turn.isHeld);
  return held?.results ? held : undefined;
}

/** A result was taken: with the last one the turn is as any other that is being answered. */
export function answered(turn: Turn, result: string): void {
  turn.results = [...(turn.results ?? []), result];
  turn.isHeld = turn.results.length < CALLS;
}

/** What a write to it answers when it is refused; null when it is not. */
export function refusal(session: ModelSession): string | null {
  if (session.status === 'deleted') return 'not_found';
  return session.status === 'active' ? null : 'session_ended';
}

function impossible(session: ModelSession, what: string): never {
  throw new Error(`${what} of ${session.id} contradicts ${JSON.stringify(session.turns)}`);
}

/** A reply was seen at its end: turns end in the order of their acceptance, and a held one is only ever stopped. */
export function sawEnd(session: ModelSession, replyId: string, ending: Ending): void {
  const index = session.turns.findIndex((turn) => turn.replyId === replyId);
  const turn = session.turns[index];
  if (!turn) impossible(session, `The reply ${replyId}`);
  if (turn.ended !== null && turn.ended !== ending) impossible(session, `The end '${ending}' of ${replyId}`);
  if (turn.isHeld && ending === 'completed') impossible(session, `The answer ${replyId}`);
  for (const earlier of session.turns.slice(0, index)) {
    if (earlier.ended !== null) continue;
    if (earlier.isHeld || ending === 'failed') impossible(session, `The early end of ${replyId}`);
    earlier.ended = 'completed';
  }
  turn.ended = ending;
}

/** What an interrupt has answered: the turn that it stopped or found at its end, or that there was none. */
export function interrupted(session: ModelSession, message: { id: string; status: Ending } | null): void {
  if (message) {
    if (message.status === 'failed') impossible(session, `The interrupt of ${message.id}`);
    sawEnd(session, message.id, message.status);
    return;
  }
  if (isHeld(session)) impossible(session, 'The interrupt of nothing');
  for (const turn of open(session)) turn.ended = 'completed';
}

/** How its turns stood when a session ended: some are over, at most one is interrupted, those that waited have failed. */
export function ended(session: ModelSession, reason: 'completed' | 'archived', endings: Ending[]): void {
  const before = open(session);
  const order: Ending[] = ['completed', 'interrupted', 'failed'];
  const ranks = endings.map((ending) => order.indexOf(ending));
  const isOrdered = ranks.every((rank, index) => index === 0 || rank >= (ranks[index - 1] ?? 0));
  if (!isOrdered || ranks.filter((rank) => rank === 1).length > 1)
    impossible(session, `The end as ${endings}`);
  for (const [index, turn] of before.entries()) {
    if (turn.isHeld && endings[index] === 'completed') impossible(session, `The answer ${turn.replyId}`);
    turn.ended = endings[index] ?? null;
  }
  session.status = reason;
  session.endedReason = reason;
}

/** Again changes nothing, but that a completed session can still go to the archive. */
export function endedAgain(session: ModelSession, reason: 'completed' | 'archived'): void {
  if (reason === 'archived') session.status = 'archived';
}

export const openReplies = (session: ModelSession): string[] => open(session).map(({ replyId }) => replyId);

export function merge(session: ModelSession, patch: Record<string, string | null>): void {
  const merged = Object.entries({ ...session.metadata, ...patch }).filter(([, value]) => value !== null);
  session.metadata = Object.fromEntries(merged) as Record<string, string>;
}
