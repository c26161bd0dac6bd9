# SPDX-License-Identifier: GPL-2.0
"""The series: patches/ and the overlay made into commits, mails, a work tree."""
