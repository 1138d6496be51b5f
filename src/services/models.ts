// The model catalogue, as listed by the API.
import type { ModelEntry } from '../contracts/models.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { CatalogueEntry } from '../models/catalogue-entry.ts';

const view = (entry: CatalogueEntry): ModelEntry => ({
  id: entry.id,
  resolves_to: entry.resolvesTo,
  context_tokens: entry.contextTokens,
  max_output_tokens: entry.maxOutputTokens,
  prices: {
    input_usd_per_mtok: entry.prices.inputUsdPerMtok,
    output_usd_per_mtok: entry.prices.outputUsdPerMtok,
    cache_write_usd_per_mtok: entry.prices.cacheWriteUsdPerMtok,
    cache_read_usd_per_mtok: entry.prices.cacheReadUsdPerMtok,
  },
  deprecated: entry.deprecated,
});

export const createModels = (catalogue: Catalogue) => ({
  list: (): ModelEntry[] => catalogue.list().map(view),
});
