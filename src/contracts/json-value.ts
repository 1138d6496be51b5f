// A field for any JSON value, such as the result of a tool.
import { z } from 'zod';

/** Depth, texts and numbers are checked with the whole body, so only presence is left to check. */
export const JsonValue = z.unknown().refine((value) => value !== undefined, { error: 'is required' });

/** Fields with values of clients and models: their numbers keep all digits. Other fields hold numbers of ours. */
export const FOREIGN_FIELDS = ['result', 'value', 'parameters'];
