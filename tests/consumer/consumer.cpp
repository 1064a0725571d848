/* SPDX-License-Identifier: MIT */
/* The same from C++17. */

#include <rthooks/rthooks.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>

// True when an exception out of labelled blocks leaves nothing behind.
static bool labelled(const std::string &tenant)
{
    try {
        RTH_WITH_LABELS("handler", "/checkout") {
            rthooks::label_scope scope("tenant", tenant.c_str());
            rthooks::context_scope again(rthooks::context::current());
            throw std::runtime_error("out of stock");
        }
    } catch (const std::runtime_error &) {
        return rthooks::context::current().get() == nullptr;
    }
    return false;
}

int main()
{
    rth_opts opts = RTH_OPTS_INIT;
    opts.service = "consumer";
    opts.admin = "off";
    rth_status status = RTH_STATUS_INIT;
    if (rth_start(&opts) < 0 || rth_status_read(&status) < 0 || !status.running)
        return 1;
    if (!labelled("acme"))
        return 1;
    std::printf("rthooks %s\n", rth_version());
    return rth_stop() == 0 ? 0 : 1;
}
