// What usage can be grouped by.
import { Dimension } from "../../api/gen/ccrelay/v1/usage_pb.ts";
import { shortModel } from "../../lib/words.ts";

export interface Group {
  /** As `ccrelay usage --by` names it. */
  id: string;
  dimension: Dimension;
  /** On its button. */
  label: string;
  /** Head of its column. */
  title: string;
  /** What an empty value means. */
  none: string;
  /** Field of a filter that picks one value; empty: there is none. */
  field: string;
}

export const GROUPS: readonly Group[] = [
  group("model", Dimension.MODEL, "Model", "Model that answered", "not known", "model"),
  group("provider", Dimension.PROVIDER, "Provider", "Provider that answered", "none answered", "provider"),
  group("key", Dimension.KEY, "Key", "Key that answered", "none answered", ""),
  group("project", Dimension.PROJECT, "Project", "Project", "without a project", "project"),
  group("session", Dimension.SESSION, "Session", "Session", "without a session", "session"),
  group("agent", Dimension.AGENT, "Agent", "Sub-agent", "main conversation", "agent"),
  group("class", Dimension.CLASS, "Class", "Class of traffic", "not known", ""),
  group("day", Dimension.DAY, "Day", "Day", "not known", ""),
];

function group(
  id: string,
  dimension: Dimension,
  label: string,
  title: string,
  none: string,
  field: string,
): Group {
  return { id, dimension, label, title, none, field };
}

export function groupOf(id: string | null): Group {
  return GROUPS.find((one) => one.id === id) ?? (GROUPS[0] as Group);
}

/** What the chart is stacked by: days have no parts of their own, so their models. */
export function stackOf(by: Group): Group {
  return by.id === "day" ? groupOf("model") : by;
}

/** A value as it is shown in little room. */
export function shortValue(by: Group, value: string): string {
  if (!value) return by.none;
  if (by.id === "model") return shortModel(value);
  if (by.id === "session") return value.slice(0, 8);
  return value;
}
