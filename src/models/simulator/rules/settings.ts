// Checks everything but messages and tools like the API: unknown fields, limits, and pairs of settings.

import { BUILT_IN_MODELS } from '../../catalogue-data.ts';
import { isRecord } from '../../tool-input.ts';
import { RefusedError, refuse } from '../refused.ts';
import { isBlank } from './text.ts';

type Fields = Record<string, unknown>;

/** Anthropic retired these names on 2026-06-15. A request for one reveals an unresolved alias. */
const RETIRED_MODELS = new Set(['claude-sonnet-4-20250514', 'claude-opus-4-20250514']);

/** The first API version without `temperature`, `top_p` and `top_k`. */
const VERSION_WITHOUT_SAMPLING = '2026-10-21';
const SAMPLING = ['temperature', 'top_p', 'top_k'];

const KNOWN_FIELDS = new Set([
  ...['model', 'messages', 'max_tokens', 'system', 'stream', 'stop_sequences', 'metadata', 'service_tier'],
  ...['tools', 'tool_choice', 'thinking', 'output_config', 'output_format', 'container', 'mcp_servers'],
  ...['context_management', 'inference_geo', 'cache_control', ...SAMPLING],
]);

const THINKING_BUDGET_MIN = 1_024;

/** @throws {RefusedError} */
export function checkSettings(body: Fields, apiVersion: string): void {
  const unknown = Object.keys(body).find((name) => !KNOWN_FIELDS.has(name));
  if (unknown !== undefined) refuse(unknown, 'Extra inputs are not permitted');
  checkModel(body);
  checkMaxTokens(body);
  checkSystem(body.system);
  const sampling = SAMPLING.find((name) => body[name] !== undefined);
  if (sampling !== undefined && apiVersion >= VERSION_WITHOUT_SAMPLING)
    refuse(sampling, 'Extra inputs are not permitted');
  checkTemperature(body.temperature);
  checkThinking(body);
}

function checkModel({ model }: Fields): void {
  if (typeof model !== 'string' || model === '') refuse('model', 'Field required');
  if (RETIRED_MODELS.has(model)) throw new RefusedError(404, `model: ${model}`);
}

function checkMaxTokens({ model, max_tokens }: Fields): void {
  if (!Number.isInteger(max_tokens) || Number(max_tokens) < 1)
    refuse('max_tokens', 'Input should be greater than or equal to 1');
  const limit = BUILT_IN_MODELS.find(({ id }) => id === model)?.maxOutputTokens ?? Number.POSITIVE_INFINITY;
  if (Number(max_tokens) > limit)
    refuse(
      'max_tokens',
      `${max_tokens} > ${limit}, which is the maximum allowed number of output tokens for ${model}`,
    );
}

function checkSystem(system: unknown): void {
  if (system === undefined || typeof system === 'string') return;
  if (!Array.isArray(system)) refuse('system', 'Input should be a valid string or list');
  for (const [index, block] of system.entries())
    if (!isRecord(block) || block.type !== 'text' || isBlank(String(block.text ?? '')))
      refuse(`system.${index}`, 'text content blocks must contain non-whitespace text');
}

function checkTemperature(temperature: unknown): void {
  if (temperature === undefined) return;
  if (typeof temperature !== 'number' || temperature < 0 || temperature > 1)
    refuse('temperature', 'Input should be between 0 and 1');
}

/** The fields of each type. */
const THINKING_FIELDS: Record<string, string[]> = {
  enabled: ['type', 'budget_tokens', 'display'],
  disabled: ['type'],
  adaptive: ['type', 'display'],
  between_tools: ['type'],
};

/** Written independently of the catalogue, so that a mistake in the catalogue fails here. */
const TYPES_REFUSED: [type: string, models: RegExp][] = [
  ['enabled', /^claude-(opus-4-[78]|(opus|sonnet|haiku|fable|mythos)-5)/],
  ['disabled', /^claude-(mythos-preview|(fable|mythos)-5(-1)?$|(opus|sonnet)-5-5)/],
  ['between_tools', /^claude-(?!sonnet-5-5)/],
];

function checkThinkingType(model: string, type: string): void {
  if (type === 'adaptive' && /^claude-\w+-4-5/.test(model))
    throw new RefusedError(400, 'adaptive thinking is not supported on this model');
  if (TYPES_REFUSED.some(([refused, models]) => refused === type && models.test(model)))
    throw new RefusedError(
      400,
      `"thinking.type.${type}" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.`,
    );
}

function checkThinking({ model, thinking, max_tokens, temperature }: Fields): void {
  if (thinking === undefined) return;
  const fields = isRecord(thinking) ? THINKING_FIELDS[String(thinking.type)] : undefined;
  if (!isRecord(thinking) || fields === undefined)
    refuse('thinking', "Input tag should be one of 'enabled', 'disabled', 'adaptive', 'between_tools'");
  const foreign = Object.keys(thinking).find((name) => !fields.includes(name));
  if (foreign !== undefined) refuse(`thinking.${thinking.type}.${foreign}`, 'Extra inputs are not permitted');
  checkThinkingType(String(model), String(thinking.type));
  if (thinking.type === 'disabled') return;
  if (temperature !== undefined && temperature !== 1)
    refuse('temperature', '`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.');
  if (thinking.type === 'enabled') checkBudget(thinking.budget_tokens, Number(max_tokens));
}

function checkBudget(budget: unknown, maxTokens: number): void {
  if (!Number.isInteger(budget)) refuse('thinking.enabled.budget_tokens', 'Field required');
  if (Number(budget) < THINKING_BUDGET_MIN)
    refuse(
      'thinking.enabled.budget_tokens',
      `Input should be greater than or equal to ${THINKING_BUDGET_MIN}`,
    );
  if (Number(budget) >= maxTokens)
    refuse('max_tokens', '`max_tokens` must be greater than `thinking.budget_tokens`');
}
