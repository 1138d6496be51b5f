// Which models a session may name, what the provider is asked for instead, how much fits in and what it costs.

import { BUILT_IN_MODELS } from './catalogue-data.ts';
import type { CatalogueEntry, ModelPrices, ThinkingType } from './catalogue-entry.ts';
import { parseModelsFile } from './models-file.ts';
import type { ModelUsage } from './port.ts';

export interface Catalogue {
  find(name: string): CatalogueEntry | undefined;
  list(): CatalogueEntry[];
  names(): string[];
}

/**
 * The built-in models with the operator's added; an entry of the same id is replaced whole.
 * @param extra the parsed JSON of `OPENCLAW_MODELS_FILE`; undefined when there is none.
 * @throws {Error} naming the field of `extra` that is wrong.
 */
export function createCatalogue(extra?: unknown): Catalogue {
  const entries = extra === undefined ? BUILT_IN_MODELS : [...BUILT_IN_MODELS, ...parseModelsFile(extra)];
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  return {
    find: (name) => byId.get(name),
    list: () => [...byId.values()],
    names: () => [...byId.keys()],
  };
}

/** Whether the provider always refuses this `thinking.type` on the model; false when the catalogue doesn't know. */
export const refusesThinking = (entry: CatalogueEntry | undefined, type: string): boolean =>
  entry?.refusesThinking.includes(type as ThinkingType) ?? false;

/** Prices have at most nine decimals, so that each is a whole number of these. */
const NANO = 1_000_000_000n;
const TOKENS_PER_MTOK = 1_000_000n;

/**
 * What one call cost. Only for single calls: a sum of several would look like a long prompt.
 * @returns whole nano-dollars, rounded half up once at the end; exact, no floats are involved.
 */
export function costNanoUsd(prices: ModelPrices, usage: ModelUsage): number {
  const promptTokens = usage.inputTokens + usage.cacheCreationInputTokens + usage.cacheReadInputTokens;
  const { longPrompt } = prices;
  const rates = longPrompt !== undefined && promptTokens > longPrompt.aboveTokens ? longPrompt : prices;
  const total =
    BigInt(usage.inputTokens) * toNano(rates.inputUsdPerMtok) +
    BigInt(usage.outputTokens) * toNano(rates.outputUsdPerMtok) +
    BigInt(usage.cacheCreationInputTokens) * toNano(rates.cacheWriteUsdPerMtok) +
    BigInt(usage.cacheReadInputTokens) * toNano(rates.cacheReadUsdPerMtok);
  return Number((total + TOKENS_PER_MTOK / 2n) / TOKENS_PER_MTOK);
}

/** @returns a plain decimal without trailing zeros: `"0.0123"`, `"12"`, `"0"`. */
export function formatUsd(nanoUsd: number): string {
  const sign = nanoUsd < 0 ? '-' : '';
  const amount = BigInt(Math.abs(nanoUsd));
  const fraction = String(amount % NANO)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${sign}${amount / NANO}${fraction === '' ? '' : `.${fraction}`}`;
}

function toNano(usd: string): bigint {
  const [whole = '0', fraction = ''] = usd.split('.');
  return BigInt(whole) * NANO + BigInt(fraction.padEnd(9, '0'));
}
