/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling a service manager how the daemon is (sd_notify(3) without it). */
#ifndef NOTIFY_H
#define NOTIFY_H

/**
 * notify_send - send a state to the service manager, if there is one
 * @state: "READY=1", "STOPPING=1", "STATUS=..."; several with a line break between
 *
 * Errors are ignored: nothing could be done about them.
 */
void notify_send(const char *state);

#endif
