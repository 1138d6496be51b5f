// The operator's own models: OPENCLAW_MODELS_FILE, checked so that a typo stops the start instead of a conversation.

import { z } from 'zod';
import { type CatalogueEntry, THINKING_TYPES, type TokenPrices } from './catalogue-entry.ts';

/** zod's own messages name JavaScript types, but an operator reads JSON. */
const must = (words: string) => ({
  error: ({ input }: { input?: unknown }) => (input === undefined ? 'is missing' : `must be ${words}`),
});

const PRICE = must('a plain decimal number of USD per million tokens, such as "0.125"');
const TOKENS_MAX = 100_000_000;
const TOKENS = must(`a whole number from 1 to ${TOKENS_MAX}`);
const NAME_CHARS_MAX = 200;
const NAME = must(`a text of 1 to ${NAME_CHARS_MAX} characters`);
const FLAG = must('true or false');
const THINKING = must(`a list of ${THINKING_TYPES.join(', ')}`);

/** An object that refuses unknown field names. */
function object<Shape extends z.ZodRawShape>(shape: Shape) {
  const known = Object.keys(shape).join(', ');
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return must('an object in {}').error(issue);
      return `has the unknown field ${issue.keys.join(', ')} (known: ${known})`;
    },
  });
}

/** Accepts both "0.125" and 0.125. The text form keeps the digits of a JSON number. Nine decimals are a nano-dollar. */
const Price = z
  .union([z.string(), z.number()], PRICE)
  .transform(String)
  .pipe(z.string().regex(/^\d{1,6}(\.\d{1,9})?$/, PRICE));

const tokenPrices = { input: Price, output: Price, cache_write: Price, cache_read: Price };

const Tokens = z.int(TOKENS).min(1, TOKENS).max(TOKENS_MAX, TOKENS);

const Name = z.string(NAME).trim().min(1, NAME).max(NAME_CHARS_MAX, NAME);

const ModelsFile = object({
  models: z.array(
    object({
      id: Name,
      resolves_to: Name.optional(),
      context_tokens: Tokens,
      max_output_tokens: Tokens,
      prices: object({
        ...tokenPrices,
        long_prompt: object({ above_tokens: Tokens, ...tokenPrices }).optional(),
      }),
      accepts_temperature: z.boolean(FLAG).default(true),
      refuses_thinking: z.array(z.enum(THINKING_TYPES, THINKING), THINKING).default([]),
      deprecated: z.boolean(FLAG).default(false),
    }),
    must('a list in []'),
  ),
});

type FileModel = z.infer<typeof ModelsFile>['models'][number];
type FilePrices = Record<keyof typeof tokenPrices, string>;

/**
 * Reads `{"models":[{"id","resolves_to"?,"context_tokens","max_output_tokens","prices":{"input","output","cache_write",
 * "cache_read","long_prompt"?},"accepts_temperature"?,"refuses_thinking"?,"deprecated"?}]}`. Prices are USD per million tokens.
 * @throws {Error} naming every wrong field, as `models[0].prices.input`.
 */
export function parseModelsFile(content: unknown): CatalogueEntry[] {
  const parsed = ModelsFile.safeParse(content);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${toPath(issue.path)}: ${issue.message}`);
    throw new Error(`OPENCLAW_MODELS_FILE is not valid. ${problems.join('; ')}`);
  }
  refuseDuplicates(parsed.data.models);
  return parsed.data.models.map(toEntry);
}

function refuseDuplicates(models: FileModel[]): void {
  models.forEach(({ id }, index) => {
    if (models.findIndex((other) => other.id === id) === index) return;
    throw new Error(`OPENCLAW_MODELS_FILE is not valid. models[${index}].id: "${id}" is there twice`);
  });
}

function toEntry(model: FileModel): CatalogueEntry {
  const { long_prompt: long, ...prices } = model.prices;
  return {
    id: model.id,
    resolvesTo: model.resolves_to ?? model.id,
    contextTokens: model.context_tokens,
    maxOutputTokens: model.max_output_tokens,
    prices: {
      ...toTokenPrices(prices),
      ...(long && { longPrompt: { aboveTokens: long.above_tokens, ...toTokenPrices(long) } }),
    },
    acceptsTemperature: model.accepts_temperature,
    refusesThinking: model.refuses_thinking,
    deprecated: model.deprecated,
  };
}

function toTokenPrices(prices: FilePrices): TokenPrices {
  return {
    inputUsdPerMtok: prices.input,
    outputUsdPerMtok: prices.output,
    cacheWriteUsdPerMtok: prices.cache_write,
    cacheReadUsdPerMtok: prices.cache_read,
  };
}

function toPath(path: PropertyKey[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return text.replace(/^\./, '') || 'the file';
}
