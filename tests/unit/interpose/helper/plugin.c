/* SPDX-License-Identifier: MIT */
__attribute__((visibility("default"))) int interpose_plugin_answer(void);

int interpose_plugin_answer(void)
{
    return 42;
}
