/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_RTHOOKS_HPP
#define RTHOOKS_RTHOOKS_HPP

/* The C API for C++17, where a destructor says it shorter. Header only. */

#include <rthooks/context.h>
#include <rthooks/label.h>
#include <rthooks/profile.h>
#include <rthooks/rthooks.h>

#include <utility>

namespace rthooks
{

/*
 * One label to the end of the scope: `rthooks::label_scope scope("tenant", tenant.c_str());`.
 * As RTH_WITH_LABELS otherwise; scopes of a thread end in the reverse order of their beginning.
 *
 * Thread: begins and ends on the same one. Signal: unsafe. Fork: safe in a child. Cost: 50 ns.
 * Since: 0.1.
 */
class label_scope
{
  public:
    label_scope(const char *key, const char *value)
    {
#ifndef RTHOOKS_DISABLE
        const char *const pair[] = {key, value};
        scope_.before = rth_label_enter(nullptr, pair, 2);
#else
        (void)key, (void)value;
#endif
    }
    ~label_scope()
    {
#ifndef RTHOOKS_DISABLE
        rth_label_leave(&scope_);
#endif
    }
    label_scope(const label_scope &) = delete;
    label_scope &operator=(const label_scope &) = delete;

#ifndef RTHOOKS_DISABLE
  private:
    rth_label_scope scope_ = {0, 0};
#endif
};

/*
 * A reference to a context. `auto context = rthooks::context::current();` is copied into a
 * callback, which says `rthooks::context_scope scope(context);`.
 *
 * Thread: any. Signal: unsafe. Fork: safe in a child. Cost: see context.h. Since: 0.1.
 */
class context
{
  public:
    context() = default;
    static context current()
    {
        context result;
        result.context_ = rth_context_current();
        return result;
    }
    context(const context &other) : context_(rth_context_ref(other.context_))
    {
    }
    context(context &&other) noexcept : context_(std::exchange(other.context_, nullptr))
    {
    }
    context &operator=(context other) noexcept
    {
        std::swap(context_, other.context_);
        return *this;
    }
    ~context()
    {
        rth_context_unref(context_);
    }
    rth_context *get() const
    {
        return context_;
    }

  private:
    rth_context *context_ = nullptr;
};

/* A context attached to the end of the scope. */
class context_scope
{
  public:
    explicit context_scope(const context &attached)
    {
        (void)rth_context_attach(attached.get(), &token_);
    }
    ~context_scope()
    {
        (void)rth_context_detach(&token_);
    }
    context_scope(const context_scope &) = delete;
    context_scope &operator=(const context_scope &) = delete;

  private:
    rth_context_token token_ = {};
};

/*
 * A value in a profile of the program's own, as long as this object lives: a member of what it
 * counts, made with `this`. Says by error() why it is not there.
 *
 * Thread: any. Signal: unsafe. Fork: see profile.h. Cost: see profile.h. Since: 0.1.
 */
class profile_value
{
  public:
    profile_value(rth_profile *profile, const void *value)
        : profile_(profile), value_(value), error_(rth_profile_add(profile, value))
    {
    }
    ~profile_value()
    {
        if (error_ == 0)
            rth_profile_remove(profile_, value_);
    }
    profile_value(const profile_value &) = delete;
    profile_value &operator=(const profile_value &) = delete;
    int error() const
    {
        return error_;
    }

  private:
    rth_profile *profile_;
    const void *value_;
    int error_;
};

} // namespace rthooks

#endif /* RTHOOKS_RTHOOKS_HPP */
