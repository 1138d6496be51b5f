// The models a session may name: the provider's name for each, its limits and its prices.

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
 * The built-in models plus the operator's own. An operator's entry replaces the whole entry with the same id.
 * @param extra the parsed JSON of `OPENCLAW_MODELS_FILE`, or undefined without such a file.
 * @throws {Error} naming the wrong field of `extra`.
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

/** Whether the provider always refuses this `thinking.type` on the model. False if the catalogue doesn't know. */
export const refusesThinking = (entry: CatalogueEntry | undefined, type: string): boolean =>
  entry?.refusesThinking.includes(type as ThinkingType) ?? false;

/** True if the name stands for a newer model that refuses `enabled` and takes `adaptive`. Such a session keeps the setting. */
export const adaptsThinking = (entry: CatalogueEntry | undefined, type: string): boolean =>
  type === 'enabled' &&
  entry !== undefined &&
  entry.id !== entry.resolvesTo &&
  refusesThinking(entry, 'enabled') &&
  !refusesThinking(entry, 'adaptive');

/** Prices have at most nine decimals, so each price is a whole number of nano-dollars. */
const NANO = 1_000_000_000n;
const TOKENS_PER_MTOK = 1_000_000n;

/**
 * The cost of one call. Pass single calls only: a sum of several calls would look like a long prompt.
 * @returns whole nano-dollars, rounded half up once at the end. Exact, because no floats are involved.
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
