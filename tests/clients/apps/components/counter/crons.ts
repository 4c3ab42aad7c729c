import { anyApi, cronJobs } from "convex/server";

const crons = cronJobs();
crons.interval("tick", { hours: 1 }, anyApi.counts.tick as any);
export default crons;
