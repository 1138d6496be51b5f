// The operator's own models: OPENCLAW_MODELS_FILE, checked so that a typo stops the start and not a conversation.

import { z } from 'zod';
import { type CatalogueEntry, THINKING_TYPES, type TokenPrices } from './catalogue-entry.ts';

/** Both "0.125" and 0.125 are taken; JSON's numbers keep their digits as text. Nine decimals are a nano-dollar. */
const Price = z
  .union([z.string(), z.number()])
  .transform(String)
  .pipe(
    z
      .string()
      .regex(
        /^\d{1,6}(\.\d{1,9})?$/,
        'must be a plain decimal number of USD per million tokens, such as "0.125"',
      ),
  );

const tokenPrices = { input: Price, output: Price, cache_write: Price, cache_read: Price };

const Tokens = z.int().min(1).max(100_000_000);

const Name = z.string().trim().min(1).max(200);

const ModelsFile = z.strictObject({
  models: z.array(
    z.strictObject({
      id: Name,
      resolves_to: Name.optional(),
      context_tokens: Tokens,
      max_output_tokens: Tokens,
      prices: z.strictObject({
        ...tokenPrices,
        long_prompt: z.strictObject({ above_tokens: Tokens, ...tokenPrices }).optional(),
      }),
      accepts_temperature: z.boolean().default(true),
      refuses_thinking: z.array(z.enum(THINKING_TYPES)).default([]),
      deprecated: z.boolean().default(false),
    }),
  ),
});

type FileModel = z.infer<typeof ModelsFile>['models'][number];
type FilePrices = Record<keyof typeof tokenPrices, string>;

/**
 * Reads `{"models":[{"id","resolves_to"?,"context_tokens","max_output_tokens","prices":{"input","output","cache_write",
 * "cache_read","long_prompt"?},"accepts_temperature"?,"refuses_thinking"?,"deprecated"?}]}`; prices are USD per million tokens.
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
