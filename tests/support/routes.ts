/**
 * Routes, checked as the program checks them.
 *
 * @module
 */
import { type DeclaredRoute, readRoutes, type RouteTable } from "../../core/routing/routes.ts";

/** The tables of some routes. @throws when one of them is wrong. */
export function routesOf(routes: Record<string, DeclaredRoute>): Map<string, RouteTable> {
  const ids = JSON.stringify(routes).matchAll(/"([^"/]+)\//g);
  const read = readRoutes([{ at: "test", routes }], [...ids].map(([, provider]) => provider!));
  if (read.problems.length > 0) throw new Error(JSON.stringify(read.problems));
  return read.routes;
}
