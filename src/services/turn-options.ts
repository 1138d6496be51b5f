// What sessions and messages may set for their turns, checked against the catalogue of models.
import { ApiError } from '../contracts/errors.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { TurnOptions } from '../views/sessions.ts';

/** The options that are set, of whatever else holds them; null means that none is. */
export function turnOptionsOf({ max_tokens, temperature, thinking }: TurnOptions): TurnOptions {
  const given = Object.entries({ max_tokens, temperature, thinking }).filter(([, value]) => value != null);
  return Object.fromEntries(given);
}

/** @throws ApiError with the names that are known. */
export function checkModel(catalogue: Catalogue, model: string): void {
  if (catalogue.find(model)) return;
  const known = catalogue.names().join(', ');
  throw new ApiError('invalid_request', `Unknown model '${model}'. Known models: ${known}`, {
    param: 'model',
  });
}

/** @throws ApiError when the model can't write that much. */
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
