// The turn options of sessions and messages, checked against the model catalogue.
import { ApiError } from '../contracts/errors.ts';
import { MAX_TOKENS_DEFAULT } from '../contracts/messages.ts';
import { adaptsThinking, type Catalogue, refusesThinking } from '../models/catalogue.ts';
import type { TurnOptions } from '../views/sessions.ts';

/** Picks the set options from any object that holds them. Null counts as not set. */
export function turnOptionsOf({ max_tokens, temperature, thinking }: TurnOptions): TurnOptions {
  const given = Object.entries({ max_tokens, temperature, thinking }).filter(([, value]) => value != null);
  return Object.fromEntries(given);
}

/** @throws ApiError listing the known names. */
export function checkModel(catalogue: Catalogue, model: string): void {
  if (catalogue.find(model)) return;
  const known = catalogue.names().join(', ');
  throw new ApiError('invalid_request', `Unknown model '${model}'. Known models: ${known}`, {
    param: 'model',
  });
}

const refuse = (param: string, message: string): never => {
  throw new ApiError('invalid_request', message, { param });
};

/** The settings of one request. The provider validates `thinking.type` together with the model. */
type Given = TurnOptions & { model?: string };

/** @throws ApiError naming `model` and `thinking.type`. */
function checkThinkingType(
  catalogue: Catalogue,
  model: string,
  { thinking }: TurnOptions,
  given: Given,
): void {
  const entry = catalogue.find(model);
  if (!thinking || !refusesThinking(entry, thinking.type) || adaptsThinking(entry, thinking.type)) return;
  const other = refusesThinking(entry, 'adaptive') ? 'enabled' : 'adaptive';
  refuse(
    given.thinking == null ? 'model' : 'thinking.type',
    `The 'model' '${model}' takes no 'thinking.type' '${thinking.type}'. Use '${other}', or set 'thinking' to null`,
  );
}

/**
 * Refuses combinations that the provider refuses in every request. A model without temperature support is checked too,
 * because the session may change its model.
 * @param options The effective options of a turn: a message's own settings over its session's settings.
 * @param given The settings of this request. The error's `param` names one of them.
 * @throws ApiError naming both fields.
 */
export function checkThinking(catalogue: Catalogue, model: string, options: TurnOptions, given: Given): void {
  const { thinking, temperature } = options;
  // Other settings can still change in a session stored by an earlier version.
  if (given.thinking != null || given.model !== undefined)
    checkThinkingType(catalogue, model, options, given);
  const entry = catalogue.find(model);
  const limit = entry?.maxOutputTokens ?? MAX_TOKENS_DEFAULT;
  const maxTokens = options.max_tokens ?? Math.min(MAX_TOKENS_DEFAULT, limit);
  const budget = thinking?.type === 'enabled' ? Number(thinking.budget_tokens) : 0;
  if (budget >= maxTokens)
    refuse(
      given.max_tokens == null ? 'thinking.budget_tokens' : 'max_tokens',
      `'max_tokens' (${maxTokens}) must be more than 'thinking.budget_tokens' (${budget})`,
    );
  const isOn = thinking != null && thinking.type !== 'disabled';
  if (isOn && temperature != null && temperature !== 1)
    refuse(
      given.temperature == null ? 'thinking' : 'temperature',
      `'temperature' (${temperature}) must be 1, or left out, together with 'thinking' of type '${thinking.type}'`,
    );
}

/** @throws ApiError when the limit exceeds the model's maximum output. */
export function checkMaxTokens(
  catalogue: Catalogue,
  model: string,
  maxTokens: number | null | undefined,
): void {
  const limit = catalogue.find(model)?.maxOutputTokens;
  if (maxTokens == null || limit === undefined || maxTokens <= limit) return;
  throw new ApiError('invalid_request', `'max_tokens' must be at most ${limit} for model '${model}'`, {
    param: 'max_tokens',
  });
}
