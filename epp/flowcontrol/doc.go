// Package flowcontrol holds requests back until their pool has room for them: by priority, fairly between tenants, in bounded
// queues, each for a bounded time. It stands between parsing and scheduling, knows nothing of the wire protocol and chooses no endpoint.
// What it has let go it asks to be ended only where eviction is turned on.
//
//	Request -> Admit -> pool -> band (priority) -> flow (fairness id) -> Ticket -> scheduling
//	                      ^                                                 |
//	      saturation falls, a request ends, a timer while something waits <-+ Placed, Release
//
// Order. Bands go strictly by priority. Inside a band the fairness policy says which flow is next, inside a flow the ordering policy
// says which request. When the pool's saturation reaches a band's ceiling, that band and all below it stop; a request for which there is
// room, and before which nothing waits, never enters a queue.
//
// One lock per pool. The work under it is a few heap moves, less than the two switches that a goroutine which owned the queues would cost
// each request, and with nothing waiting there is nothing that runs. Requests of different pools share nothing. What a request costs
// grows with the logarithm of what waits: flows, the requests of a flow and the ends of waits are heaps, and nothing walks them, but for
// the first endpoint of a pool that comes and the last that goes, where the two bounds of the wait differ.
//
// Events. An arrival, the end of a request, news of a pool (Changed) and the end of a wait each dispatch what may go. While something waits
// one timer per pool also reads the saturation every 25 ms, since metrics grow old without an event. One hold of the lock dispatches 256
// requests at most; the rest follows at once.
//
// Ahead. A dispatched request shows in its endpoint's figures only once it is scheduled. Until its ticket is Placed it is handed to the
// saturation function as ahead, so that opening a queue lets out what there is room for, and not all of it.
//
// Eviction. When a request waits only because its pool is full, requests of lower priorities, and below 0, that are in flight may be
// revoked: two at most by one decision, and the next decision comes when both have ended (or 10 s later) and saturation must show it.
// Callbacks run without the lock.
//
// Bounds. Queues are bounded in requests and bytes, per band and per pool; a flow is forgotten with its last waiting request, a band that
// is not configured 10 minutes after, a pool likewise. Until then a band has a rank, which is what holds low priorities back while no high one waits.
// Requests and bytes count while they wait. Of names that clients choose 1000 become labels of metrics, the rest are "other"; the series
// of a fairness id go 5 minutes after its last request.
package flowcontrol
