// All activities of the workflows, bound to their dependencies once.
import { withBoundedFailure } from './bounded-failure.ts';
import { createDeliverActivities, type DeliverDeps } from './deliver.ts';
import { createModelStep, type ModelStepDeps } from './model.ts';
import { withPlainFailure } from './plain-failure.ts';
import { createSessionActivities, type SessionActivityDeps } from './session.ts';
import { createToolCall, type ToolCallDeps } from './tool-call.ts';

export type ActivityDeps = ModelStepDeps & SessionActivityDeps & ToolCallDeps & DeliverDeps;
export type Activities = ReturnType<typeof createActivities>;

export function createActivities(deps: ActivityDeps) {
  const { snapshot, interrupt, failReply, expire, expireCalls, failToolCall } = createSessionActivities(deps);
  const { deliver, deliverBacklog } = createDeliverActivities(deps);
  return {
    modelStep: withBoundedFailure(withPlainFailure(createModelStep(deps))),
    snapshot: withBoundedFailure(snapshot),
    interrupt: withBoundedFailure(interrupt),
    failReply: withBoundedFailure(failReply),
    expire: withBoundedFailure(expire),
    expireCalls: withBoundedFailure(expireCalls),
    failToolCall: withBoundedFailure(failToolCall),
    toolCall: withBoundedFailure(withPlainFailure(createToolCall(deps))),
    deliver: withBoundedFailure(deliver),
    deliverBacklog: withBoundedFailure(deliverBacklog),
  };
}
