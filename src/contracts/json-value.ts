// A field that takes any JSON value, such as the result of a tool.
import { z } from 'zod';

/** Its depth, texts and numbers were checked with the whole body, so nothing is left to check but that it is there. */
export const JsonValue = z.unknown().refine((value) => value !== undefined, { error: 'is required' });

/** Fields whose values belong to clients and models: their numbers keep their digits. In all other fields numbers are ours. */
export const FOREIGN_FIELDS = ['result', 'value', 'parameters'];
