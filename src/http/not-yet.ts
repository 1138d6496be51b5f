// Finds features of later versions in a refused request, to name them in the error.
import express, { type Router } from 'express';
import { ApiError } from '../contracts/errors.ts';
import { MISSING_FIELDS, MISSING_ROUTES, type MissingField, notInThisVersion } from '../contracts/not-yet.ts';
import type { PathSegment } from './field-path.ts';
import { stateOf } from './request-state.ts';

interface Found {
  path: PathSegment[];
  /** The missing field or value. */
  name: string;
}

/** Each place in the value under a path such as `tools[].type`. */
function placesOf(path: string, value: unknown): { path: PathSegment[]; value: unknown }[] {
  const steps = path.replaceAll('[]', '.[]').split('.').filter(Boolean);
  let places = [{ path: [] as PathSegment[], value }];
  for (const step of steps)
    places = places.flatMap((place) =>
      childrenOf(place.value, step).map(([key, child]) => ({ path: [...place.path, key], value: child })),
    );
  return places;
}

function childrenOf(value: unknown, step: string): [PathSegment, unknown][] {
  if (step === '[]') return Array.isArray(value) ? [...value.entries()] : [];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  return Object.hasOwn(value, step) ? [[step, (value as Record<string, unknown>)[step]]] : [];
}

function findIn(value: unknown, { path, values }: MissingField): Found[] {
  return placesOf(path, value)
    .filter((place) => !values || values.includes(place.value as string))
    .map((place) => ({ path: place.path, name: String(values ? place.value : place.path.at(-1)) }));
}

/** @returns the first field or value of a later version in a refused input. */
export function findNotYet(operationId: string | undefined, input: unknown): Found | undefined {
  const missing = MISSING_FIELDS[operationId ?? ''] ?? [];
  return missing.flatMap((field) => findIn(input, field))[0];
}

/** Runs before the other routes, which would answer `POST /v1/sessions/import` with 405. */
export function notYetRouter(): Router {
  const router = express.Router({ caseSensitive: true, strict: true });
  // The router's methods for `post` or `get` would add themselves to the `Allow` of OPTIONS.
  for (const { name, path, method } of MISSING_ROUTES)
    router.all(path, (req, res, next) => {
      if (method !== undefined && req.method !== method.toUpperCase()) return next();
      stateOf(res).route = path;
      throw new ApiError('not_found', notInThisVersion(name));
    });
  return router;
}
