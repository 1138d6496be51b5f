// What every file of routes is made from.
import type { Services } from '../../services/ports.ts';
import type { OpenPageOf } from '../pagination.ts';

export interface RouteDeps {
  services: Services;
  openPage: OpenPageOf;
}
