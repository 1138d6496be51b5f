// Everything the workflows may cause, bound to its dependencies once.
import { withBoundedFailure } from './bounded-failure.ts';
import { createModelStep, type ModelStepDeps } from './model.ts';
import { createSessionActivities, type SessionActivityDeps } from './session.ts';

export type ActivityDeps = ModelStepDeps & SessionActivityDeps;
export type Activities = ReturnType<typeof createActivities>;

export function createActivities(deps: ActivityDeps) {
  const { snapshot, interrupt, failReply, expire, expireCalls } = createSessionActivities(deps);
  return {
    modelStep: withBoundedFailure(createModelStep(deps)),
    snapshot: withBoundedFailure(snapshot),
    interrupt: withBoundedFailure(interrupt),
    failReply: withBoundedFailure(failReply),
    expire: withBoundedFailure(expire),
    expireCalls: withBoundedFailure(expireCalls),
  };
}
