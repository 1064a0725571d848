/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_HOT_H
#define RTH_INTERPOSE_HOT_H

/*
 * What wrappers read on every call stands together. A program of many processes that take turns on
 * one processor finds its address translations gone at each turn, so a page costs more than a call:
 * spread over five pages, these cost PostgreSQL's backends half a percent more of their time.
 */
#define RTH__HOT_DATA __attribute__((section("rth_hot_data")))

#endif /* RTH_INTERPOSE_HOT_H */
