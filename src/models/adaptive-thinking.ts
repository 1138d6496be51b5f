// Sends `thinking` of type `enabled` as `adaptive` to models that refuse `enabled`. Names such as `claude-haiku` move on to newer
// models, and clients written for the older model keep working.
import { type Catalogue, refusesThinking } from './catalogue.ts';
import type { Model, ModelRequest } from './port.ts';

function adapted(request: ModelRequest, catalogue: Catalogue): ModelRequest {
  const { thinking, model } = request;
  if (thinking?.type !== 'enabled' || !refusesThinking(catalogue.find(model), 'enabled')) return request;
  const { budget_tokens: _, ...others } = thinking;
  return { ...request, thinking: { ...others, type: 'adaptive' } };
}

/** For Anthropic's own API. A gateway gets the setting as given, because it may serve other models under these names. */
export const withAdaptiveThinking = (model: Model, catalogue: Catalogue): Model => ({
  stream: (request, options) => model.stream(adapted(request, catalogue), options),
});
